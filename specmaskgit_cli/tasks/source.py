"""The sound being edited: its own samples, excerpts of it as the models hear them, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..audio.files import read_audio, resample
from ..audio.filters import lows
from ..audio.levels import peak_gain
from ..config.settings import CheckpointConfig
from ..errors import UsageError
from ..synthesis.prompts import INPUT_PEAK_DB
from .levels import heard, level_of

MIN_SECONDS = 0.05
MAX_WHOLE_SECONDS = 600  # of a sound that is held as one spectrogram
MAX_CHANNEL_GAIN = 4.0
REST_SECONDS = 0.1  # of the means of which the median is the offset of a sound
SINK_SECONDS = 0.2  # in which what rumbles beside a new part sinks to the offset


@dataclass(frozen=True)
class Source:
    """A sound to edit: float32 samples [n, channels], and what libsndfile calls the way they are stored."""

    samples: np.ndarray
    rate: int
    subtype: str | None = None
    name: str = "the sound"
    notes: tuple[str, ...] = ()  # warnings about the file

    def __post_init__(self):
        if len(self.samples) < MIN_SECONDS * self.rate:
            seconds = len(self.samples) / self.rate
            raise UsageError(f"{self.name} lasts {seconds:.2g} s; edits need {MIN_SECONDS:g} s or more")

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

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
        return cls(audio.samples, audio.rate, audio.subtype, path, audio.notes)


@dataclass(frozen=True)
class Excerpt:
    """Part of a sound as the models hear it: mono, at their rate and level, in whole token columns.

    Attributes:
        wave: float32 [columns * column_samples]; silent past the end of the part.
        samples: the part itself, float32 [m, channels], at `rate`.
        lows: its offset and rumble, [m, channels], which are not in `wave`; where new sound is to be made, what is
            around carried on.
        mix: share of each channel in the mono sum, [channels].
        gain: level of `wave` relative to the mono sum.
        channels: level of each channel relative to the mono sum, [channels].
    """

    wave: np.ndarray
    samples: np.ndarray
    lows: np.ndarray
    rate: int
    model_rate: int
    mix: np.ndarray
    gain: float
    channels: np.ndarray

    def place(self, sample: int) -> int:
        """Index in `wave` of an index in `samples`."""
        return round(sample * self.model_rate / self.rate)

    def mono(self, wave: np.ndarray, length: int) -> np.ndarray:
        """A waveform [n] at the models' rate and level as [length] at those of the mono sum."""
        mono = resample(wave / np.float32(self.gain), self.model_rate, self.rate)[:length]
        return np.pad(mono, (0, length - len(mono)))

    def back(self, wave: np.ndarray, length: int | None = None) -> np.ndarray:
        """A waveform [n] at the models' rate and level as [length, channels] at those of the part."""
        return self.mono(wave, len(self.samples) if length is None else length)[:, None] * self.channels


def excerpt(samples: np.ndarray, rate: int, config: CheckpointConfig, gaps: Sequence[tuple[int, int]] = ()) -> Excerpt:
    """Samples [m, channels] as the models hear them; levels are measured outside the gaps, spans of samples."""
    stays = np.ones(len(samples), bool)
    for start, stop in gaps:
        stays[start:stop] = False
    under = _lows(samples, rate, stays)
    clean = samples - under
    measured = heard(clean if not stays.any() else clean[stays], rate, config.mel.f_max)
    power = np.sqrt(np.mean(np.square(measured), axis=0, dtype=np.float64))
    mix = np.full(samples.shape[1], 1 / samples.shape[1], np.float32)
    level = float(np.sqrt(np.mean(np.square(measured @ mix), dtype=np.float64)))
    if level < 0.1 * power.mean():  # channels that cancel each other: hear the loudest alone
        mix = np.eye(samples.shape[1], dtype=np.float32)[int(np.argmax(power))]
        level = float(power.max())
    signs = np.where((measured * (measured @ mix)[:, None]).sum(axis=0) < 0, -1.0, 1.0)
    channels = np.clip(power / level, 0, MAX_CHANNEL_GAIN) * signs if level else np.ones(samples.shape[1])
    gain = peak_gain(measured @ mix, INPUT_PEAK_DB)
    wave = resample(clean @ mix, rate, config.mel.sample_rate) * np.float32(gain)
    length = max(2, -(-len(wave) // config.column_samples)) * config.column_samples
    wave = np.pad(wave, (0, length - len(wave)))
    return Excerpt(wave, samples, under, rate, config.mel.sample_rate, mix, gain, channels.astype(np.float32))


def sunk(known: np.ndarray, count: int, rate: int) -> np.ndarray:
    """The lows [m, channels] of a sound carried on for `count` samples: they sink to its offset, and stay there."""
    if not len(known):
        return np.zeros((count, known.shape[1]), np.float32)
    offset = _offset(known, rate)
    near = known[::-1][: min(count, round(SINK_SECONDS * rate))]  # mirrored at the end
    fall = 0.5 + 0.5 * np.cos(np.pi * (np.arange(len(near)) + 0.5) / len(near))
    on = np.tile(offset, (count, 1))
    on[: len(near)] += (near - offset) * fall.astype(np.float32)[:, None]
    return on


def _offset(x: np.ndarray, rate: int) -> np.ndarray:
    """What x [m, channels] rests at, [channels]: not its mean, which a single thump moves."""
    size = max(1, min(len(x), round(REST_SECONDS * rate)))
    blocks = x[len(x) % size :].reshape(-1, size, x.shape[1])
    return np.median(blocks.mean(axis=1, dtype=np.float64), axis=0).astype(np.float32)


def _lows(samples: np.ndarray, rate: int, stays: np.ndarray) -> np.ndarray:
    """What the models should not hear of samples [m, channels], where bool `stays` [m] is true: their offset, and what
    rumbles if that is louder than all else. Between, that of both sides crosses over."""
    edges = [0, *np.flatnonzero(np.diff(stays)) + 1, len(samples)]
    parts = [slice(*part) for part in pairwise(edges)]
    under = np.zeros(samples.shape, np.float32)
    for part in parts:
        if stays[part.start]:
            under[part] = _rumble(samples[part], rate)
    for index, part in enumerate(parts):
        if not stays[part.start]:
            count = part.stop - part.start
            sides = []
            if index:
                sides.append(sunk(under[parts[index - 1]], count, rate))
            if index + 1 < len(parts):
                sides.append(sunk(under[parts[index + 1]][::-1], count, rate)[::-1])
            rise = ((np.arange(count) + 0.5) / count).astype(np.float32)[:, None]
            if sides:
                under[part] = sides[0] * (1 - rise) + sides[-1] * rise
    return under


def _rumble(x: np.ndarray, rate: int) -> np.ndarray:
    low, offset = lows(x, rate), _offset(x, rate)
    # Sounds have some of it, and the models expect as much: without it, they take noise for darker than it is.
    return low if level_of(low - offset) > level_of(x - low) else np.broadcast_to(offset, x.shape)
