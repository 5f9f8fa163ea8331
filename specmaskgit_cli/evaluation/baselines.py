"""What edits are compared with: what can be had without a model, and what no model can do better."""

from __future__ import annotations

import numpy as np

from ..audio.filters import band
from ..audio.replication import air
from ..pipeline import Pipeline
from ..spectrogram.griffin_lim import Known, griffin_lim
from ..spectrogram.mel import log_mel
from ..synthesis.render import mel_to_waveform
from ..tasks.extend import FLANK
from ..tasks.regenerate import fresh_cells, guess
from ..tasks.source import excerpt

N_FFT, HOP = 2048, 512
FLOOR = 1e-8  # of the power spectrum


def log_power(wave: np.ndarray) -> np.ndarray:
    """log10 power of [n] over Hann windows: [frames, bins]."""
    wave = np.pad(wave, (0, max(0, N_FFT - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, N_FFT)[::HOP]
    return np.log10(np.maximum(np.abs(np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1])) ** 2, FLOOR))


def true_mel(pipe: Pipeline, wave: np.ndarray, low: np.ndarray, cutoff: float) -> np.ndarray:
    """The extension of `low` [n] if the model knew the spectrogram of the whole `wave` [n]: what is left is phase."""
    cfg = pipe.config.mel
    heard = excerpt(low[None], cfg.sample_rate, pipe.config)
    size = len(heard.wave)
    full = np.pad(wave * np.float32(heard.gain), (0, size - len(wave)))
    fresh = fresh_cells((cfg.n_mels, size // cfg.hop_length), 0, size, cutoff, None, cfg)
    known = Known(heard.wave, fresh, np.ones(size, bool))
    made = heard.mono(mel_to_waveform(pipe.runtime, log_mel(full, cfg), np.random.default_rng(0), known), len(low))
    out = low + band((made - low)[None], cfg.sample_rate, cutoff / FLANK, None)
    return (out + air(out, cfg.sample_rate, cfg.f_max))[0]


def brick_wall(wave: np.ndarray, rate: int, cutoff: float) -> np.ndarray:
    """[n] without what lies above the cut-off."""
    return band(wave[None], rate, None, cutoff)[0]


def mirrored(low: np.ndarray, rate: int, cutoff: float) -> np.ndarray:
    """The band below the cut-off folded up: modulation by twice the cut-off, of which the part above it is added."""
    shifted = 2 * low * np.cos(2 * np.pi * 2 * cutoff * np.arange(len(low)) / rate)
    return low + band(shifted[None].astype(np.float32), rate, cutoff, 2 * cutoff)[0]


def sloped_noise(low: np.ndarray, rate: int, cutoff: float) -> np.ndarray:
    """Noise above the cut-off that follows the level of the octave below and falls on as the spectrum does there."""
    noise = np.random.default_rng(0).standard_normal(len(low)).astype(np.float32)
    hz = np.arange(N_FFT // 2 + 1) * rate / N_FFT
    octave = (hz > cutoff / 2) & (hz < cutoff / 1.2)
    level = log_power(low)[:, octave].mean(axis=0)
    slope = min(0.0, float(np.polyfit(np.log2(hz[octave] / cutoff), level, 1)[0])) / 2  # log10 amplitude an octave
    size = 1 << (len(low) - 1).bit_length()
    places = np.fft.rfftfreq(size, 1 / rate)
    shaped = np.fft.rfft(noise, size) * 10 ** (slope * np.log2(np.maximum(places, cutoff) / cutoff))
    shaped = np.fft.irfft(shaped, size)[: len(low)].astype(np.float32)
    below = band(low[None], rate, cutoff / 2, cutoff)[0]
    size = round(0.05 * rate)
    envelope = np.sqrt(np.convolve(below**2, np.ones(size) / size, mode="same"))
    density = np.sqrt(rate / 2 / (cutoff / 2))  # noise fills the whole band, the octave only this part of it
    return low + band((shaped * envelope * density)[None].astype(np.float32), rate, cutoff, None)[0]


def interpolated(silent: np.ndarray, gap: slice, pipe: Pipeline) -> np.ndarray:
    """The gap filled by linear interpolation of the log-mel in time, and Griffin-Lim in phase with the rest."""
    cfg = pipe.config.mel
    wave = np.pad(silent, (0, -len(silent) % cfg.hop_length))
    mel = log_mel(wave, cfg)
    fresh = fresh_cells(mel.shape, gap.start, gap.stop, None, None, cfg)
    free = np.zeros(len(wave), bool)
    free[gap] = True
    made = griffin_lim(guess(mel, fresh, cfg), cfg, 16, rng=np.random.default_rng(0), known=Known(wave, fresh, free))
    return made[: len(silent)]
