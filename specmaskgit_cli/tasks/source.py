"""The sound being edited: its own samples, excerpts of it as the models hear them, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..audio.encoding import WHOLE
from ..audio.files import read_audio, read_exactly, resample
from ..audio.filters import lows
from ..audio.inputs import stored
from ..audio.levels import peak_gain
from ..audio.spatial import SpatialImage, spatial_image
from ..audio.tags import Extras, read_extras
from ..config.settings import CheckpointConfig
from ..errors import UsageError
from ..synthesis.prompts import INPUT_PEAK_DB
from .levels import heard, level_of

MIN_SECONDS = 0.05
MAX_WHOLE_SECONDS = 600  # of a sound that is held as one spectrogram
REST_SECONDS = 0.1  # of the means of which the median is the offset of a sound
SINK_SECONDS = 0.2  # in which what rumbles beside a new part sinks to the offset


@dataclass(frozen=True)
class Source:
    """A sound to edit: float32 samples [channels, n], and what libsndfile calls the way they are stored."""

    samples: np.ndarray
    rate: int
    subtype: str | None = None
    name: str = "the sound"
    notes: tuple[str, ...] = ()  # warnings about the file
    extras: Extras = field(default_factory=Extras)  # what else it tells
    exact: np.ndarray | None = None  # float64, where the file holds more than float32 does

    def __post_init__(self):
        if self.seconds < MIN_SECONDS:
            raise UsageError(f"{self.name} lasts {self.seconds:.2g} s; edits need {MIN_SECONDS:g} s or more")

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.rate

    def check_whole(self, task: str) -> None:
        """Raise UsageError where a task that goes by all of the sound cannot: it is silent, or too long to be held as a
        spectrogram."""
        if self.seconds > MAX_WHOLE_SECONDS:
            raise UsageError(
                f"{self.name} lasts {self.seconds:.0f} s; {task} takes {MAX_WHOLE_SECONDS} s or less, so cut it"
            )
        if not self.samples.any():
            raise UsageError(f"{self.name} is silent; name a file with sound in it")

    @classmethod
    def read(cls, path: str) -> Source:
        """Raises SmgError as read_audio does, and for a sound too short to edit."""
        audio = read_audio(path)
        exact = read_exactly(path, audio.samples) if audio.subtype in WHOLE else None
        return cls(audio.samples, audio.rate, audio.subtype, path, audio.notes, read_extras(stored(path)), exact)

    def restored(self, samples: np.ndarray) -> np.ndarray:
        """The result of an edit, [channels, n], with the sound's own samples as exact as its file has them."""
        if self.exact is None or len(samples) != len(self.samples):
            return samples
        more = samples.shape[1] - self.samples.shape[1]
        result = samples.astype(np.float64)
        for start in {0, more} if more >= 0 else ():  # where the sound may lie in a longer one
            part = np.s_[:, start : start + self.samples.shape[1]]
            np.copyto(result[part], self.exact, where=samples[part] == self.samples)
        return result


@dataclass(frozen=True)
class Excerpt:
    """Part of a sound as the models hear it: mono, at their rate and level, in whole token columns.

    Attributes:
        wave: float32 [columns * column_samples]; silent past the end of the part.
        samples: the part itself, float32 [channels, m], at `rate`.
        lows: its offset and rumble, [channels, m], which are not in `wave`; where new sound is to be made, what is
            around carried on.
        mix: share of each channel in the mono sum, [channels].
        gain: level of `wave` relative to the mono sum.
        known: bool [m], what of it says where the sound is between the channels; None is all.
    """

    wave: np.ndarray
    samples: np.ndarray
    lows: np.ndarray
    rate: int
    model_rate: int
    mix: np.ndarray
    gain: float
    known: np.ndarray | None = None

    def place(self, sample: int) -> int:
        """Index in `wave` of an index in `samples`."""
        return round(sample * self.model_rate / self.rate)

    def mono(self, wave: np.ndarray, length: int) -> np.ndarray:
        """A waveform [n] at the models' rate and level as [length] at those of the mono sum."""
        mono = resample(wave / np.float32(self.gain), self.model_rate, self.rate)[:length]
        return np.pad(mono, (0, length - len(mono)))

    def back(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform [n] at the models' rate and level as [channels, m], where and as wide as the part itself.

        `rng` draws what differs between the channels; nothing in a mono part.
        """
        return self.image.render(self.mono(wave, self.samples.shape[1]), rng)

    @cached_property
    def image(self) -> SpatialImage:
        """Where the part is between its channels."""
        return spatial_image(self.samples - self.lows, self.mix, self.rate, self.known)

    @property
    def reached(self) -> np.ndarray:
        """What of the part the models reach, [channels, m]: each channel at their rate and back."""
        size, found = len(self.wave), []
        for channel in self.samples - self.lows:
            wave = resample(channel, self.rate, self.model_rate) * np.float32(self.gain)
            found.append(self.mono(np.pad(wave, (0, size - len(wave))), len(channel)))
        return np.stack(found)


def excerpt(
    samples: np.ndarray, rate: int, config: CheckpointConfig, gaps: Sequence[tuple[int, int]] = (),
    known: np.ndarray | None = None,
) -> Excerpt:  # fmt: skip
    """Samples [channels, m] as the models hear them; levels are measured outside the gaps, spans of samples; `known` as
    of Excerpt."""
    stays = np.ones(samples.shape[1], bool)
    for start, stop in gaps:
        stays[start:stop] = False
    under = _lows(samples, rate, stays)
    clean = samples - under
    measured = heard(clean[:, stays] if stays.any() else clean, rate, config.mel.f_max)
    power = np.sqrt(np.mean(np.square(measured), axis=1, dtype=np.float64))
    mix = np.full(len(samples), 1 / len(samples), np.float32)
    level = float(np.sqrt(np.mean(np.square(mix @ measured), dtype=np.float64)))
    if level < 0.1 * power.mean():  # channels that cancel each other: hear the loudest alone
        mix = np.eye(len(samples), dtype=np.float32)[int(np.argmax(power))]
    gain = peak_gain(mix @ measured, INPUT_PEAK_DB)
    wave = resample(mix @ clean, rate, config.mel.sample_rate) * np.float32(gain)
    length = max(2, -(-len(wave) // config.column_samples)) * config.column_samples
    wave = np.pad(wave, (0, length - len(wave)))
    return Excerpt(wave, samples, under, rate, config.mel.sample_rate, mix, gain, known)


def sunk(known: np.ndarray, count: int, rate: int) -> np.ndarray:
    """The lows [channels, m] of a sound carried on for `count` samples: they sink to its offset, and stay there."""
    offset = _offset(known, rate)
    near = known[:, ::-1][:, : min(count, round(SINK_SECONDS * rate))]  # mirrored at the end
    places = np.arange(near.shape[1]) + 0.5
    on = np.tile(offset, (1, count))
    on[:, : len(places)] += (near - offset) * (0.5 + 0.5 * np.cos(np.pi * places / len(places))).astype(np.float32)
    return on


def _offset(x: np.ndarray, rate: int) -> np.ndarray:
    """What x [channels, m] rests at, [channels, 1]: not its mean, which a single thump moves."""
    length = x.shape[1]
    size = max(1, min(length, round(REST_SECONDS * rate)))
    means = x[:, length % size :].reshape(len(x), -1, size).mean(axis=2, dtype=np.float64)
    return np.median(means, axis=1, keepdims=True).astype(np.float32)


def _lows(samples: np.ndarray, rate: int, stays: np.ndarray) -> np.ndarray:
    """What the models should not hear of samples [channels, m], where bool `stays` [m] is true: their offset, and what
    rumbles if that is louder than all else. Between, that of both sides crosses over."""
    edges = [0, *np.flatnonzero(np.diff(stays)) + 1, samples.shape[1]]
    parts = [np.s_[:, start:stop] for start, stop in pairwise(edges)]
    under = np.zeros(samples.shape, np.float32)
    for part, start in zip(parts, edges, strict=False):
        if stays[start]:
            under[part] = _rumble(samples[part], rate)
    for index, part in enumerate(parts):
        if not stays[edges[index]]:
            count, sides = edges[index + 1] - edges[index], []
            if index:
                sides.append(sunk(under[parts[index - 1]], count, rate))
            if index + 1 < len(parts):
                sides.append(sunk(under[parts[index + 1]][:, ::-1], count, rate)[:, ::-1])
            rise = ((np.arange(count) + 0.5) / count).astype(np.float32)
            if sides:
                under[part] = sides[0] * (1 - rise) + sides[-1] * rise
    return under


def _rumble(x: np.ndarray, rate: int) -> np.ndarray:
    low, offset = lows(x, rate), _offset(x, rate)
    # Sounds have some of it, and the models expect as much: without it, they take noise for darker than it is.
    return low if level_of(low - offset) > level_of(x - low) else np.broadcast_to(offset, x.shape)
