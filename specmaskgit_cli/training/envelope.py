"""Training of the envelope estimator: sounds against themselves with the high end taken away."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..config.settings import CheckpointConfig
from ..data.clips import ClipCache, Weighted
from ..models.envelope import EnvelopeEstimator
from ..spectrogram.band_envelope import FLOOR, envelope, step_samples
from .loop import Stage, TrainOptions

STEPS = 96  # of a crop: about 4.5 s
LEAST_KNOWN, MOST_KNOWN = 0.3, 0.94  # of the bands; 64 bands up to 11 kHz: 0.8 to 9 kHz
GAINS = -1.0, 0.15  # log10 of the amplitude of a clip, as it is in the data
FADING = 0.3  # of the examples end in a slope
FADING_BANDS, FADING_DEPTH = 4, 4.0  # over which, and nats a band
FLOORS = np.log([1e-6, 1e-5, 1e-5, 1e-4])  # of power, below which differences do not count, drawn for each example
TEXTURE = 1.6  # nats²: what even the right level is off by, within a step's band
BELOW = 0.02  # of its slope the loss keeps where both are below the floor


class EnvelopeStage(Stage):
    """Loss: log-spectral distance above the cut-off, as if the texture were another draw of the same."""

    name = "envelope"

    def __init__(self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache):
        super().__init__(config, options)
        self.train_set = train
        self.bands = config.envelope.bands
        self.model = EnvelopeEstimator(config.envelope)
        self.lengths = Weighted(np.array([clip.frames for clip in train.clips], float))
        rng = np.random.default_rng(0)
        clips = val.clips[:: max(1, len(val.clips) // 256)]
        self.validation = [self._example(val, clip, rng, 1.0) for clip in clips]

    def _example(self, cache: ClipCache, clip, rng: np.random.Generator, gain: float) -> tuple[np.ndarray, np.ndarray]:
        """A crop's envelope [STEPS, 2 * bands], and bool [STEPS], which of the steps there are."""
        size = step_samples(self.config.mel)
        wave = cache.clip_wave(clip)
        start = rng.integers(0, max(1, len(wave) - STEPS * size + 1))
        wave = wave[start : start + STEPS * size] * np.float32(gain)
        found = envelope(wave, self.config.mel, self.bands)
        rest = STEPS - len(found)
        return np.pad(found, ((0, rest), (0, 0))), np.arange(STEPS) < len(found)

    def draw(self, part):
        clips, rows = self.train_set.clips, []
        for rng in part.rngs(self.options.batch):
            gain = 10 ** rng.uniform(*GAINS)
            found, heard = self._example(self.train_set, clips[self.lengths.draw(rng)], rng, gain)
            count = round(rng.uniform(LEAST_KNOWN, MOST_KNOWN) * self.bands)
            seen = found.copy()
            if rng.random() < FADING:
                reach = int(rng.integers(1, min(FADING_BANDS, count) + 1))
                slope = rng.uniform(0, FADING_DEPTH) * np.arange(1, reach + 1)
                seen[:, count - reach : count] = np.maximum(seen[:, count - reach : count] - slope, FLOOR)
            known, floor = np.arange(self.bands) < count, np.float32(rng.choice(FLOORS))
            rows.append((seen, found[:, : self.bands], known, heard, floor))
        return tuple(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))

    def loss(self, part, drawn):
        seen, target, known, heard, floor = (t.to(self.device) for t in drawn)
        floor = floor[:, None, None]
        made = self.model(seen, known, heard).float()
        made = torch.where(made < floor, floor + BELOW * (made - floor), made)
        distance = _distance(made, torch.maximum(target, floor), known, heard, TEXTURE)
        loss = part.share(self.options.batch) * distance
        return loss, {"distance": loss.detach()}

    def validate(self):
        """Root mean square errors in nats over missing bands, means over steps; half and 0.7 of the bands are known."""
        found, heard = (torch.from_numpy(np.stack(c)).to(self.device) for c in zip(*self.validation, strict=True))
        floor = torch.tensor(float(FLOORS[1]), device=self.device)
        target, errors = torch.maximum(found[..., : self.bands], floor), {}
        for name, share in (("half", 0.5), ("most", 0.7)):
            known = (torch.arange(self.bands, device=self.device) < round(share * self.bands)).expand(len(found), -1)
            made = torch.maximum(self.model(found, known, heard), floor)
            errors[f"error_{name}"] = float(_distance(made, target, known, heard, 0.0))
        return errors


def _distance(made: Tensor, target: Tensor, known: Tensor, heard: Tensor, texture: float) -> Tensor:
    """Root of the mean square difference over unknown bands and of `texture`, mean over the steps of each sound."""
    missing = (~known)[:, None].float()
    square = ((made - target).square() * missing).sum(-1) / missing.sum(-1)
    return (((square + texture).sqrt() * heard).sum(1) / heard.sum(1)).mean()
