"""Training material of the tokenizer: crops of mels that lie in one tensor on the device."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config.settings import MelConfig
from ..spectrogram.mel import noise_mel

GAP_FRAMES = 10  # of silence after each sound
NOISE_FRAMES = 8192
SOFTER = 0.5, 2.3  # share of the crops that are made softer, and by how much at most, in nats
EQUALIZED = 0.3, -1.0, 0.5  # share of the crops whose bands are raised and lowered, and between which levels, in nats
CORNERS = 4  # of the curve over the bands by which they are


class Crops:
    """Draws crops of sounds laid end to end; a crop of a short sound runs into the next one.

    Args:
        mels: float16 [frames, n_mels] each, natural log.
        frames: of a crop.
        balance: a sound of n frames is drawn in proportion to n ** balance.
    """

    def __init__(self, mels: Iterable[np.ndarray], mel: MelConfig, frames: int, device, balance: float = 0.5):
        self.mel, self.frames = mel, frames
        gap = np.full((GAP_FRAMES, mel.n_mels), mel.scale_min, np.float16)
        pieces, lengths = [], []
        for one in mels:
            pieces += [one, gap]
            lengths.append(len(one))
        pieces.append(np.full((frames, mel.n_mels), mel.scale_min, np.float16))  # after the last sound
        self.all = torch.from_numpy(np.concatenate(pieces)).to(device)
        self.lengths = torch.tensor(lengths, device=device)
        self.starts = (self.lengths + GAP_FRAMES).cumsum(0) - self.lengths - GAP_FRAMES
        weights = self.lengths.double() ** balance
        self.cumulative = (weights.cumsum(0) / weights.sum()).float()
        noise = noise_mel(np.random.default_rng(0), NOISE_FRAMES, mel)
        self.noise = torch.from_numpy(noise.T.copy()).to(device)

    def draw(self, size: int, generator: torch.Generator, augmented: bool = True) -> Tensor:
        """Mels float32 [size, n_mels, frames]; if `augmented`, softer and equalised ones among them."""
        uniform = self._uniform(size, generator)
        chosen = torch.searchsorted(self.cumulative, uniform()).clamp(max=len(self.lengths) - 1)
        room = (self.lengths[chosen] - self.frames + 1).clamp(min=1)
        mel = self._gather(self.all, self.starts[chosen] + (uniform() * room).long()).float()
        if augmented:
            share, most = SOFTER
            mel = mel - (most * uniform() * (uniform() < share))[:, None, None]
            share, low, high = EQUALIZED
            corners = low + (high - low) * torch.rand(size, 1, CORNERS, generator=generator, device=self.all.device)
            curve = F.interpolate(corners, size=self.mel.n_mels, mode="linear", align_corners=True)[:, 0]
            mel = mel + (curve * (uniform() < share)[:, None])[:, :, None]
        return mel.clamp(min=self.mel.scale_min)

    def draw_noise(self, size: int, generator: torch.Generator) -> Tensor:
        """Log-mels of white noise, standardised, float32 [size, n_mels, frames]."""
        starts = self._uniform(size, generator)() * (len(self.noise) - self.frames)
        return self._gather(self.noise, starts.long())

    def _uniform(self, size: int, generator: torch.Generator):
        return lambda: torch.rand(size, generator=generator, device=self.all.device)

    def _gather(self, frames: Tensor, starts: Tensor) -> Tensor:
        inside = starts[:, None] + torch.arange(self.frames, device=starts.device)
        return frames[inside].transpose(1, 2)
