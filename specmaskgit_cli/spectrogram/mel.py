"""Log-mel spectrograms: the front end of HiFi-GAN V1 (https://github.com/jik876/hifi-gan, meldataset.py).

Frame f covers the `hop_length` samples from f * hop_length on: the signal is reflected by (n_fft - hop_length) / 2 at
both ends, so a waveform of n samples has n // hop_length frames.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..config.settings import MelConfig
from ..threads import one_blas_thread

FRAMES_AT_ONCE = 1024  # bounds the memory of the transform: about 10 MB whatever the length of the waveform
NOISE_SECONDS = 60  # of white noise, from which the constants of noise_mel are measured


def log_mel(waveform: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Natural log of the mel magnitudes, clamped below at log(cfg.log_clamp).

    Args:
        waveform: [..., samples] at cfg.sample_rate. One shorter than the reflected margin needs (385 samples in the
            default configuration) is first extended with zeros, so that even an empty one has one frame.

    Returns:
        float32 [..., n_mels, frames] with frames = max(1, samples // hop_length).
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    frames = max(1, waveform.shape[-1] // cfg.hop_length)
    out = np.empty((*waveform.shape[:-1], cfg.n_mels, frames), np.float32)
    for index in np.ndindex(*waveform.shape[:-1]):
        _log_mel_padded(pad(waveform[index], cfg), cfg, out[index])
    return out


def pad(samples: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Reflect [samples] by (n_fft - hop_length) / 2 at both ends, after extending with zeros what is too short."""
    margin = (cfg.n_fft - cfg.hop_length) // 2
    missing = max(0, margin + 1 - len(samples))
    return np.pad(np.pad(samples, (0, missing)), margin, mode="reflect")


def frame(padded: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """A read-only view [frames, n_fft] of a padded signal, one frame each hop_length samples."""
    return np.lib.stride_tricks.sliding_window_view(padded, cfg.n_fft)[:: cfg.hop_length]


@lru_cache(maxsize=8)
def window(n_fft: int) -> np.ndarray:
    """The periodic Hann window, float32 [n_fft], read-only."""
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft))


@lru_cache(maxsize=8)
def mel_filterbank(cfg: MelConfig) -> np.ndarray:
    """Triangular bands on the Slaney mel scale, each of unit area, as librosa.filters.mel(htk=False, norm="slaney").

    Returns:
        float32 [n_mels, n_fft // 2 + 1], read-only.
    """
    low, high = _hz_to_mel(np.array([cfg.f_min, cfg.f_max]))
    edges = _mel_to_hz(np.linspace(low, high, cfg.n_mels + 2))
    bins = np.arange(cfg.n_fft // 2 + 1) * cfg.sample_rate / cfg.n_fft
    left, centre, right = (edges[i : i + cfg.n_mels, None] for i in range(3))
    triangles = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return _frozen(np.maximum(0.0, triangles) * 2.0 / (right - left))


def band_edges(cfg: MelConfig) -> np.ndarray:
    """Where a band gives way to the next, Hz, float64 [n_mels + 1]: half way on the mel scale between their centres."""
    low, high = _hz_to_mel(np.array([cfg.f_min, cfg.f_max]))
    return _mel_to_hz(low + (high - low) * (np.arange(cfg.n_mels + 1) + 0.5) / (cfg.n_mels + 1))


def normalize(mel: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Map a log-mel (any shape) from [scale_min, scale_max] nats to [-1, 1]; what lies outside is clipped."""
    unit = (np.asarray(mel, np.float32) - cfg.scale_min) / (cfg.scale_max - cfg.scale_min)
    return np.clip(unit * 2 - 1, -1, 1).astype(np.float32, copy=False)


def denormalize(scaled: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """The inverse of `normalize`: [-1, 1], clipped, to nats."""
    unit = (np.clip(np.asarray(scaled, np.float32), -1, 1) + 1) / 2
    return (unit * (cfg.scale_max - cfg.scale_min) + cfg.scale_min).astype(np.float32, copy=False)


def noise_mel(rng: np.random.Generator, frames: int, cfg: MelConfig) -> np.ndarray:
    """Log-mel of white noise, standardised per band: what the tokenizer's decoder makes noisy texture from.

    Neighbouring frames and bands depend on each other exactly as in a spectrogram of real noise.

    Returns:
        float32 [n_mels, frames], in the long run of zero mean and unit variance in each band.
    """
    mean, deviation = _noise_statistics(cfg)
    return (_raw_noise_mel(rng, frames, cfg) - mean) / deviation


def noise_deviation(cfg: MelConfig) -> np.ndarray:
    """Standard deviation of the log-mel of white noise, float32 [n_mels, 1]."""
    return _noise_statistics(cfg)[1]


@lru_cache(maxsize=8)
def _noise_statistics(cfg: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    mel = _raw_noise_mel(np.random.default_rng(0), int(NOISE_SECONDS * cfg.frames_per_second), cfg)
    # A band too narrow to hold a frequency bin is constant; it stays zero instead of dividing by zero.
    return _frozen(mel.mean(1, keepdims=True)), _frozen(np.maximum(mel.std(1, keepdims=True), 1e-6))


def _raw_noise_mel(rng: np.random.Generator, frames: int, cfg: MelConfig) -> np.ndarray:
    out = np.empty((cfg.n_mels, frames), np.float32)
    if frames:
        # Noise where the reflected margins would be: the first and last frames are like all others.
        _log_mel_padded(rng.standard_normal((frames - 1) * cfg.hop_length + cfg.n_fft, dtype=np.float32), cfg, out)
    return out


def _log_mel_padded(padded: np.ndarray, cfg: MelConfig, out: np.ndarray) -> None:
    """Fill out [n_mels, frames] from a padded signal, some frames at a time."""
    frames, bands, hann = frame(padded, cfg), mel_filterbank(cfg), window(cfg.n_fft)
    with one_blas_thread():  # the same to the last digit, wherever it is called
        for start in range(0, out.shape[1], FRAMES_AT_ONCE):
            stop = min(start + FRAMES_AT_ONCE, out.shape[1])
            magnitudes = np.abs(np.fft.rfft(frames[start:stop] * hann)).astype(np.float32, copy=False)
            out[:, start:stop] = np.log(np.maximum(bands @ magnitudes.T, cfg.log_clamp))


def _frozen(values: np.ndarray) -> np.ndarray:
    """As float32 that cannot be written to: cached arrays are shared by all callers."""
    values = np.asarray(values, dtype=np.float32)
    values.flags.writeable = False
    return values


# The Slaney scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
_LINEAR_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    log_part = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ_PER_MEL, log_part)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    log_part = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, log_part)
