"""Sounds by each part of a model: the vocoder alone, the tokenizer and the vocoder, and all of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from ..audio.levels import normalize_peak
from ..decoding.settings import DecodeSettings
from ..pipeline import Pipeline
from ..spectrogram.mel import log_mel
from ..synthesis.engine import MIN_COLUMNS
from ..synthesis.prompts import INPUT_PEAK_DB
from ..synthesis.render import mel_to_waveform, tokens_to_mel
from ..threads import one_blas_thread


@dataclass(frozen=True)
class Wish:
    """What a sound is made for: a condition [1, D], and the style [1, style_dims] of a sound to resemble, which has the
    share `weight` in the style drawn."""

    condition: np.ndarray
    style: np.ndarray | None = None
    weight: float = 1.0


def wishes(conditions: np.ndarray) -> list[Wish]:
    """Conditions [n, D] without sounds to resemble."""
    return [Wish(condition[None]) for condition in conditions]


@dataclass(frozen=True)
class Taken:
    """What making a sound cost: seconds by the clock, and seconds of all cores together, which other work on the
    machine does not lengthen."""

    seconds: float
    core_seconds: float


def copy_synthesis(pipe: Pipeline, wave: np.ndarray) -> np.ndarray:
    """What the vocoder makes of a sound's true mel, float32 [n], at the level it has after that."""
    mel = log_mel(_whole_frames(pipe, wave), pipe.config.mel)
    return mel_to_waveform(pipe.runtime, mel, np.random.default_rng(0))[: len(wave)]


def round_trip(pipe: Pipeline, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sound through the tokenizer: (the mel that comes out [n_mels, frames], its waveform [n] by the vocoder)."""
    cfg, rng = pipe.config, np.random.default_rng(0)
    mel = log_mel(_whole_frames(pipe, wave), cfg.mel)
    missing = -mel.shape[1] % cfg.tokenizer.patch_frames
    padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=math.log(cfg.mel.log_clamp))
    decoded = tokens_to_mel(pipe.runtime, pipe.runtime.encode(padded[None])[0], rng)[:, : mel.shape[1]]
    return decoded, mel_to_waveform(pipe.runtime, decoded, rng)[: len(wave)]


@one_blas_thread()
def generate(
    pipe: Pipeline, wish: Wish, seconds: float, settings: DecodeSettings, seed: int
) -> tuple[np.ndarray, Taken]:
    """A sound float32 [n], peak at the models' level, and what making it took.

    Tokens and phases are those of `smg generate` with the same seed; `settings` may be ones that it does not offer.
    """
    started, before = time.perf_counter(), time.process_time()
    config, rng = pipe.config, np.random.default_rng([seed, 0])
    samples = math.ceil(seconds * config.mel.sample_rate)
    columns = max(MIN_COLUMNS, math.ceil(samples / config.column_samples))
    manner = pipe.conditions.drawn(wish.condition, rng, columns, like=wish.style, like_weight=wish.weight)
    mel = pipe.new_mel(columns, wish.condition, None, settings, rng, pipe.count(None, columns), manner)
    mel = mel[:, : math.ceil(samples / config.mel.hop_length)]
    wave = mel_to_waveform(pipe.runtime, mel, rng)[: round(seconds * config.mel.sample_rate)]
    wave = normalize_peak(wave, INPUT_PEAK_DB)
    return wave, Taken(time.perf_counter() - started, time.process_time() - before)


def mel_error(pipe: Pipeline, wave: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in nats of the log-mels of a sound and of another sound, or of another's mel [n_mels, frames].

    Both are clipped to the span that the tokenizer sees.
    """
    cfg = pipe.config.mel
    mel = log_mel(_whole_frames(pipe, wave), cfg)
    against = other if other.ndim == 2 else log_mel(_whole_frames(pipe, other), cfg)
    frames = min(mel.shape[1], against.shape[1])
    clipped = [np.clip(m[:, :frames], cfg.scale_min, cfg.scale_max) for m in (mel, against)]
    return float(np.abs(clipped[0] - clipped[1]).mean())


def _whole_frames(pipe: Pipeline, wave: np.ndarray) -> np.ndarray:
    return np.pad(wave, (0, -len(wave) % pipe.config.mel.hop_length))
