"""Training of the envelope estimator: sounds against themselves with the high end taken away."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..config.settings import CheckpointConfig
from ..data.clips import ClipCache, Weighted
from ..models.envelope import EnvelopeEstimator
from ..spectrogram.band_envelope import FLOOR, envelope, step_samples
from .envelope_examples import CODEC_SHARE, coded, own_bands, varied
from .loop import Stage, TrainOptions

SECONDS = 4.5  # of a crop
LEAST_KNOWN, MOST_KNOWN = 0.3, 0.94  # of the bands that a sound has of its own
FEWEST_OWN = 0.4  # of all bands: a sound with less teaches nothing
GAINS = -1.0, 0.15  # log10 of the amplitude of a clip, as it is in the data
FADING = 0.3  # of the examples end in a slope
FADING_BANDS, FADING_DEPTH = 4, 4.0  # over which, and nats a band
FLOORS = np.log([1e-6, 1e-5, 1e-5, 1e-4])  # of power, below which differences do not count, drawn for each example
TEXTURE = 1.6  # nats²: what even the right level is off by, within a step's band
BELOW = 0.02  # of its slope the loss keeps where both are below the floor
LOUDER = 1.5  # what an estimate below the level costs, against one above: who extends a sound wants to hear it


class EnvelopeStage(Stage):
    """Loss: log-spectral distance above the cut-off, as if the texture were another draw of the same."""

    name = "envelope"

    def __init__(self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache):
        super().__init__(config, options)
        self.train_set = train
        self.bands = config.envelope.bands
        self.model = EnvelopeEstimator(config.envelope)
        self.lengths = Weighted(np.array([clip.frames for clip in train.clips], float))
        self.steps = round(SECONDS * config.mel.sample_rate / step_samples(config.mel))
        rng = np.random.default_rng(0)
        clips = val.clips[:: max(1, len(val.clips) // 256)]
        self.validation = [self._measured(val, clip, rng, 1.0) for clip in clips]

    def _measured(self, cache: ClipCache, clip, rng: np.random.Generator, gain: float) -> np.ndarray:
        """The envelope of a crop at most `steps` long, [steps, 2 * bands]."""
        size = step_samples(self.config.mel)
        wave = cache.clip_wave(clip)
        start = rng.integers(0, max(1, len(wave) - self.steps * size + 1))
        return envelope(wave[start : start + self.steps * size] * np.float32(gain), self.config.mel, self.bands)

    def _padded(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """To `steps`, and bool [steps], which of them there are."""
        return np.pad(found, ((0, self.steps - len(found)), (0, 0))), np.arange(self.steps) < len(found)

    def draw(self, part):
        clips, rows = self.train_set.clips, []
        for rng in part.rngs(self.options.batch):
            gain = 10 ** rng.uniform(*GAINS)
            found = self._measured(self.train_set, clips[self.lengths.draw(rng)], rng, gain)
            own = own_bands(found[:, : self.bands])
            level, roughness = varied(found[:, : self.bands], found[:, self.bands :], rng)
            count = round(rng.uniform(LEAST_KNOWN, MOST_KNOWN) * own)
            seen = coded(level, rng) if rng.random() < CODEC_SHARE else level.copy()
            if rng.random() < FADING:
                reach = int(rng.integers(1, min(FADING_BANDS, count) + 1))
                slope = rng.uniform(0, FADING_DEPTH) * np.arange(1, reach + 1)
                seen[:, count - reach : count] = np.maximum(seen[:, count - reach : count] - slope, FLOOR)
            bands, floor = np.arange(self.bands), np.float32(rng.choice(FLOORS))
            wanted = (bands >= count) & (bands < own) & (own >= FEWEST_OWN * self.bands)
            given, heard = self._padded(np.concatenate([seen, roughness], axis=1))
            rows.append((given, self._padded(level)[0], bands < count, wanted, heard, floor))
        return tuple(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))

    def loss(self, part, drawn):
        seen, target, known, wanted, heard, floor = (t.to(self.device) for t in drawn)
        floor = floor[:, None, None]
        made = self.model(seen, known, heard).float()
        made = torch.where(made < floor, floor + BELOW * (made - floor), made)
        distance = _distance(made, torch.maximum(target, floor), wanted, heard, TEXTURE, LOUDER).mean()
        loss = part.share(self.options.batch) * distance
        return loss, {"distance": loss.detach()}

    def validate(self):
        """In nats, over missing bands that the sounds have: root mean square errors, means over steps, and the median
        of what the estimate is above the truth; half and 0.7 of the bands are known."""
        own = torch.tensor([own_bands(found[:, : self.bands]) for found in self.validation], device=self.device)
        padded = zip(*map(self._padded, self.validation), strict=True)
        found, heard = (torch.from_numpy(np.stack(c)).to(self.device) for c in padded)
        floor = torch.tensor(float(FLOORS[1]), device=self.device)
        target, errors = torch.maximum(found[..., : self.bands], floor), {}
        for name, share in (("half", 0.5), ("most", 0.7)):
            bands = torch.arange(self.bands, device=self.device).expand(len(found), -1)
            known = bands < round(share * self.bands)
            wanted = ~known & (bands < own[:, None])
            made = torch.maximum(self.model(found, known, heard), floor)
            sounds = wanted.any(-1).sum().clamp(min=1)
            errors[f"error_{name}"] = float(_distance(made, target, wanted, heard, 0.0).sum() / sounds)
            cells = (wanted[:, None] & heard[..., None]).expand_as(made)
            errors[f"above_{name}"] = float((made - target)[cells].median()) if cells.any() else 0.0
        return errors


def _distance(
    made: Tensor, target: Tensor, wanted: Tensor, heard: Tensor, texture: float, louder: float = 1.0
) -> Tensor:
    """Root of the mean square difference over the bands `wanted` bool [B, bands] and of `texture`, mean over the steps
    of each sound: [B], 0 of those without such bands. Differences of what is too soft count `louder` times."""
    cells = wanted[:, None].float()
    difference = made - target
    weight = torch.where(difference < 0, louder, 1.0)
    square = (weight * difference.square() * cells).sum(-1) / cells.sum(-1).clamp(min=1)
    return ((square + texture).sqrt() * heard).sum(1) / heard.sum(1) * wanted.any(-1)
