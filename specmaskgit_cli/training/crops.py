"""Training material of the tokenizer: crops of mels, which lie in one tensor on the device if there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config.settings import MelConfig
from ..spectrogram.mel import noise_mel

GAP_FRAMES = 10  # of silence after each sound
MOST_BYTES = 8 << 30  # 40 hours of 96 bands at 172 frames a second
NOISE_FRAMES = 8192
SOFTER = 0.5, 2.3  # share of the crops that are made softer, and by how much at most, in nats
EQUALIZED = 0.3, -1.0, 0.5  # share of the crops whose bands are raised and lowered, and between which levels, in nats
CORNERS = 4  # of the curve over the bands by which they are


class Crops:
    """Draws crops of sounds laid end to end; a crop of a short sound runs into the next one.

    Args:
        mels: float16 [frames, n_mels] each, natural log; where they come from a file, they are read when needed.
        frames: of a crop.
        balance: a sound of n frames is drawn in proportion to n ** balance.
        most: bytes of all mels, up to which they are kept on the device; more are read from `mels` at every step.
    """

    def __init__(
        self, mels: Sequence[np.ndarray], mel: MelConfig, frames: int, device, balance: float = 0.5,
        most: int = MOST_BYTES,
    ):  # fmt: skip
        self.mel, self.frames, self.mels = mel, frames, mels
        lengths = [len(one) for one in mels]
        self.lengths = torch.tensor(lengths, device=device)
        self.starts = (self.lengths + GAP_FRAMES).cumsum(0) - self.lengths - GAP_FRAMES
        self.all: Tensor | None = None
        if 2 * mel.n_mels * (sum(lengths) + GAP_FRAMES * len(lengths)) <= most:
            self.all = torch.from_numpy(np.concatenate([*self._laid_out(0, sum(lengths), every=True)])).to(device)
        weights = self.lengths.double() ** balance
        self.cumulative = (weights.cumsum(0) / weights.sum()).float()
        noise = noise_mel(np.random.default_rng(0), NOISE_FRAMES, mel)
        self.noise = torch.from_numpy(noise.T.copy()).to(device)

    def draw(self, size: int, generator: torch.Generator, augmented: bool = True) -> Tensor:
        """Mels float32 [size, n_mels, frames]; if `augmented`, softer and equalised ones among them."""
        uniform = self._uniform(size, generator)
        chosen = torch.searchsorted(self.cumulative, uniform()).clamp(max=len(self.lengths) - 1)
        room = (self.lengths[chosen] - self.frames + 1).clamp(min=1)
        begin = (uniform() * room).long()
        if self.all is None:
            mel = self._read(chosen, begin)
        else:
            mel = self._gather(self.all, self.starts[chosen] + begin).float()
        if augmented:
            share, most = SOFTER
            mel = mel - (most * uniform() * (uniform() < share))[:, None, None]
            share, low, high = EQUALIZED
            corners = low + (high - low) * torch.rand(size, 1, CORNERS, generator=generator, device=self.lengths.device)
            curve = F.interpolate(corners, size=self.mel.n_mels, mode="linear", align_corners=True)[:, 0]
            mel = mel + (curve * (uniform() < share)[:, None])[:, :, None]
        return mel.clamp(min=self.mel.scale_min)

    def draw_noise(self, size: int, generator: torch.Generator) -> Tensor:
        """Log-mels of white noise, standardised, float32 [size, n_mels, frames]."""
        starts = self._uniform(size, generator)() * (len(self.noise) - self.frames)
        return self._gather(self.noise, starts.long())

    def _uniform(self, size: int, generator: torch.Generator):
        return lambda: torch.rand(size, generator=generator, device=self.lengths.device)

    def _gather(self, frames: Tensor, starts: Tensor) -> Tensor:
        inside = starts[:, None] + torch.arange(self.frames, device=starts.device)
        return frames[inside].transpose(1, 2)

    def _read(self, chosen: Tensor, begin: Tensor) -> Tensor:
        """Crops from frame `begin` [n] of the sounds `chosen` [n] on, read from where the mels lie."""
        crops = []
        for place, start in zip(chosen.tolist(), begin.tolist(), strict=True):
            laid = np.concatenate([*self._laid_out(place, start + self.frames)])
            crops.append(laid[start : start + self.frames].T)
        return torch.from_numpy(np.stack(crops).astype(np.float32)).to(self.lengths.device)

    def _laid_out(self, first: int, frames: int, every: bool = False) -> Iterator[np.ndarray]:
        """Sounds with gaps between them, from `first` on, of at least so many frames or all; silence after the last."""
        gap = np.full((GAP_FRAMES, self.mel.n_mels), self.mel.scale_min, np.float16)
        for place in range(first, len(self.mels)):
            yield self.mels[place]
            yield gap
            frames -= len(self.mels[place]) + GAP_FRAMES
            if frames <= 0 and not every:
                return
        yield np.full((max(frames, 0) + self.frames, self.mel.n_mels), self.mel.scale_min, np.float16)
