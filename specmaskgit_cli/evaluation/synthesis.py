"""Sounds by each part of a model: the vocoder alone, the tokenizer and the vocoder, and all of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from ..audio.levels import normalize_peak
from ..conditioning.condition import Condition
from ..decoding.settings import DecodeSettings
from ..pipeline import Pipeline
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, rng_of
from ..synthesis.prompts import INPUT_PEAK_DB
from ..synthesis.render import tokens_to_mel
from ..threads import one_blas_thread


@dataclass(frozen=True)
class Taken:
    """What making a sound cost: seconds by the clock, and seconds of all cores together, which other work on the
    machine does not lengthen."""

    seconds: float
    core_seconds: float


def copy_synthesis(pipe: Pipeline, wave: np.ndarray) -> np.ndarray:
    """What the vocoder makes of a sound's true mel, float32 [n], at the level it has after that."""
    mel = log_mel(_whole_frames(pipe, wave), pipe.config.mel)
    return pipe.engine.vocode(mel, np.random.default_rng(0))[: len(wave)]


def round_trip(pipe: Pipeline, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sound through the tokenizer: (the mel that comes out [n_mels, frames], its waveform [n] by the vocoder)."""
    cfg, rng = pipe.config, np.random.default_rng(0)
    mel = log_mel(_whole_frames(pipe, wave), cfg.mel)
    missing = -mel.shape[1] % cfg.tokenizer.patch_frames
    padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=math.log(cfg.mel.log_clamp))
    decoded = tokens_to_mel(pipe.runtime, pipe.runtime.encode(padded[None])[0], rng)[:, : mel.shape[1]]
    return decoded, pipe.engine.vocode(decoded, rng)[: len(wave)]


@one_blas_thread()
def generate(
    pipe: Pipeline, condition: Condition, seconds: float, settings: DecodeSettings, seed: int, style_share: float = 1.0
) -> tuple[np.ndarray, Taken]:
    """A sound float32 [n], peak at the models' level, and what making it took.

    It is the sound of `smg generate` with the same seed; `settings` may be ones that it does not offer.
    """
    started, before = time.perf_counter(), time.process_time()
    draw = Draw(condition, None, settings, rng_of(seed))
    mel = pipe.engine.generate(draw, seconds, style_share=style_share).mel
    wave = pipe.engine.vocode(mel, draw.rng)[: round(seconds * pipe.config.mel.sample_rate)]
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
