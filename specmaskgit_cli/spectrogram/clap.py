"""Front end of CLAP (arXiv 2211.06687): power spectrograms of a fixed length, as the feature extractor of the
transformers library makes them for models without fusion."""

from __future__ import annotations

import math

import numpy as np

from ..audio.files import resample
from ..config.settings import EmbedderConfig, MelConfig
from .griffin_lim import griffin_lim
from .mel import mel_filterbank, window

FLOOR = 1e-10  # of the power: -100 dB


def clap_spectrogram(samples: np.ndarray, rate: int, cfg: EmbedderConfig) -> np.ndarray:
    """Decibels in Slaney bands of the first `cfg.seconds` of a sound; a shorter one is repeated as often as it fits,
    then extended with zeros.

    Args:
        samples: mono float32 [n], at least one, at `rate`.

    Returns:
        float32 [1, frames, n_mels].
    """
    length = round(cfg.seconds * cfg.sample_rate)
    samples = resample(samples[: math.ceil(cfg.seconds * rate)], rate, cfg.sample_rate)[:length]
    samples = np.tile(samples, length // max(1, len(samples)))
    samples = np.pad(samples, (0, length - len(samples)))
    padded = np.pad(samples, cfg.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, cfg.n_fft)[:: cfg.hop_length]
    power = np.abs(np.fft.rfft(frames * window(cfg.n_fft))).astype(np.float32) ** 2
    bands = mel_filterbank(MelConfig(cfg.sample_rate, cfg.n_fft, cfg.hop_length, cfg.n_mels, cfg.f_min, cfg.f_max))
    return (10 * np.log10(np.maximum(power @ bands.T, FLOOR))).astype(np.float32)[None]


def clap_spectrogram_of_mel(mel: np.ndarray, mel_cfg: MelConfig, cfg: EmbedderConfig) -> np.ndarray:
    """The same of a natural-log mel [n_mels, frames], by way of a waveform that has it."""
    mel = mel[:, : math.ceil(cfg.seconds * mel_cfg.frames_per_second)]
    # Phases leave no trace in the bands, so that the draw and the vocoder do not matter.
    return clap_spectrogram(griffin_lim(mel, mel_cfg, rng=np.random.default_rng(0)), mel_cfg.sample_rate, cfg)
