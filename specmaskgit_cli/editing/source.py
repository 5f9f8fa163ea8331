"""The sound being edited: its own samples, excerpts of it as the models hear them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio.files import read_audio, resample
from ..audio.levels import peak_gain
from ..conditions import INPUT_PEAK_DB
from ..config import CheckpointConfig
from ..errors import UsageError

MIN_SECONDS = 0.05
MAX_WHOLE_SECONDS = 600  # of a sound that is held as one spectrogram
MAX_CHANNEL_GAIN = 4.0
FADE_SECONDS = 0.03
MIRROR_SECONDS = 0.1  # by which a sound is mirrored at its ends before it is filtered


@dataclass(frozen=True)
class Source:
    """A sound to edit: float32 samples [n, channels], and what libsndfile calls the way they are stored."""

    samples: np.ndarray
    rate: int
    subtype: str | None = None
    name: str = "the sound"

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
        return cls(audio.samples, audio.rate, audio.subtype, path)


@dataclass(frozen=True)
class Excerpt:
    """Part of a sound as the models hear it: mono, at their rate and level, in whole token columns.

    Attributes:
        wave: float32 [columns * column_samples]; silent past the end of the part.
        samples: the part itself, float32 [m, channels], at `rate`.
        mix: share of each channel in the mono sum, [channels].
        gain: level of `wave` relative to the mono sum.
        channels: level of each channel relative to the mono sum, [channels].
    """

    wave: np.ndarray
    samples: np.ndarray
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


def excerpt(samples: np.ndarray, rate: int, config: CheckpointConfig, stays: np.ndarray | None = None) -> Excerpt:
    """Samples [m, channels] as the models hear them. Levels are measured where bool `stays` [m] is true."""
    heard = samples if stays is None or not stays.any() else samples[stays]
    power = np.sqrt(np.mean(np.square(heard), axis=0, dtype=np.float64))
    mix = np.full(samples.shape[1], 1 / samples.shape[1], np.float32)
    level = float(np.sqrt(np.mean(np.square(heard @ mix), dtype=np.float64)))
    if level < 0.1 * power.mean():  # channels that cancel each other: hear the loudest alone
        mix = np.eye(samples.shape[1], dtype=np.float32)[int(np.argmax(power))]
        level = float(power.max())
    signs = np.where((heard * (heard @ mix)[:, None]).sum(axis=0) < 0, -1.0, 1.0)
    channels = np.clip(power / level, 0, MAX_CHANNEL_GAIN) * signs if level else np.ones(samples.shape[1])
    gain = peak_gain(heard @ mix, INPUT_PEAK_DB)
    wave = resample(samples @ mix, rate, config.mel.sample_rate) * np.float32(gain)
    length = max(2, -(-len(wave) // config.column_samples)) * config.column_samples
    wave = np.pad(wave, (0, length - len(wave)))
    return Excerpt(wave, samples, rate, config.mel.sample_rate, mix, gain, channels.astype(np.float32))


def band(x: np.ndarray, rate: int, low: float | None, high: float | None) -> np.ndarray:
    """The part of x [n, channels] between two frequencies, without phase shift; None is no limit on that side.

    The flanks are half cosines within the band, a tenth of the edge's frequency wide.
    """
    if low in (None, 0) and high is None:
        return x
    # A sound that is cut off abruptly would click in each of its bands; mirrored, it goes on.
    margin = min(round(MIRROR_SECONDS * rate), len(x) - 1)
    size = 1 << (len(x) + 2 * margin - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / rate)
    response = np.ones(len(hz), np.float32)
    if low:
        response *= _rise((hz - low) / (0.1 * low))
    if high is not None:
        response *= _rise((high - hz) / (0.1 * high))
    out = np.empty(x.shape, np.float32)
    for channel in range(x.shape[1]):
        mirrored = np.pad(x[:, channel], margin, mode="reflect")
        filtered = np.fft.irfft(np.fft.rfft(mirrored, size) * response, size)
        out[:, channel] = filtered[margin : margin + len(x)]
    return out


def plateau(length: int, start: int, stop: int, rate: int) -> np.ndarray:
    """float32 [length]: 1 from start to stop and 0 outside, rising and falling along half cosines within.

    The flanks take 30 ms or a quarter of the span; at the ends of the whole there are none.
    """
    curve = np.zeros(length, np.float32)
    curve[start:stop] = 1
    count = min(round(FADE_SECONDS * rate), (stop - start) // 4)
    flank = _rise((np.arange(count) + 0.5) / max(count, 1))
    if start > 0:
        curve[start : start + count] = flank
    if stop < length:
        curve[stop - count : stop] = flank[::-1]
    return curve


def _rise(position: np.ndarray) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(np.pi * np.clip(position, 0, 1))).astype(np.float32)
