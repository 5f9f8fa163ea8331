"""The sound being edited: its own samples, excerpts of it as the models hear them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..audio.files import read_audio, resample
from ..audio.levels import peak_gain
from ..audio.spatial import SpatialImage, spatial_image
from ..config.settings import CheckpointConfig
from ..errors import UsageError
from ..synthesis.prompts import INPUT_PEAK_DB

MIN_SECONDS = 0.05
MAX_WHOLE_SECONDS = 600  # of a sound that is held as one spectrogram


@dataclass(frozen=True)
class Source:
    """A sound to edit: float32 samples [channels, n], and what libsndfile calls the way they are stored."""

    samples: np.ndarray
    rate: int
    subtype: str | None = None
    name: str = "the sound"
    notes: tuple[str, ...] = ()  # warnings about the file

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
        return cls(audio.samples, audio.rate, audio.subtype, path, audio.notes)


@dataclass(frozen=True)
class Excerpt:
    """Part of a sound as the models hear it: mono, at their rate and level, in whole token columns.

    Attributes:
        wave: float32 [columns * column_samples]; silent past the end of the part.
        samples: the part itself, float32 [channels, m], at `rate`.
        mix: share of each channel in the mono sum, [channels].
        gain: level of `wave` relative to the mono sum.
        known: bool [m], what of it says where the sound is between the channels; None is all.
    """

    wave: np.ndarray
    samples: np.ndarray
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
        return spatial_image(self.samples, self.mix, self.rate, self.known)

    @property
    def reached(self) -> np.ndarray:
        """What of the part the models reach, [channels, m]: each channel at their rate and back."""
        size, heard = len(self.wave), []
        for channel in self.samples:
            wave = resample(channel, self.rate, self.model_rate) * np.float32(self.gain)
            heard.append(self.mono(np.pad(wave, (0, size - len(wave))), len(channel)))
        return np.stack(heard)


def excerpt(
    samples: np.ndarray, rate: int, config: CheckpointConfig, stays: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> Excerpt:  # fmt: skip
    """Samples [channels, m] as the models hear them. Levels are measured where bool `stays` [m] is true; `known` as of
    Excerpt."""
    measured = samples if stays is None or not stays.any() else samples[:, stays]
    power = np.sqrt(np.mean(np.square(measured), axis=1, dtype=np.float64))
    mix = np.full(len(samples), 1 / len(samples), np.float32)
    level = float(np.sqrt(np.mean(np.square(mix @ measured), dtype=np.float64)))
    if level < 0.1 * power.mean():  # channels that cancel each other: hear the loudest alone
        mix = np.eye(len(samples), dtype=np.float32)[int(np.argmax(power))]
    gain = peak_gain(mix @ measured, INPUT_PEAK_DB)
    wave = resample(mix @ samples, rate, config.mel.sample_rate) * np.float32(gain)
    length = max(2, -(-len(wave) // config.column_samples)) * config.column_samples
    wave = np.pad(wave, (0, length - len(wave)))
    return Excerpt(wave, samples, rate, config.mel.sample_rate, mix, gain, known)
