"""Loudness and joints of waveforms: peaks, fades and crossfades.

All take [..., n]; what they return of it is a copy.
"""

from __future__ import annotations

import numpy as np

SILENCE_DB = -50.0  # below the peak; what a vocoder makes of silence lies lower
MAX_GAIN_DB = 30.0  # a nearly silent sound is not blown up into its own noise


def normalize_peak(x: np.ndarray, peak_db: float = -1.0) -> np.ndarray:
    """Scale so that the largest sample lies at peak_db dBFS, amplifying by 30 dB at most; silence stays silence."""
    return _scaled(x, peak_gain(x, peak_db))


def peak_gain(x: np.ndarray, peak_db: float = -1.0) -> float:
    """The factor by which `normalize_peak` scales."""
    return min(_gain_to(x, peak_db), 10 ** (MAX_GAIN_DB / 20))


def limit_peak(x: np.ndarray, peak_db: float = -1.0) -> np.ndarray:
    """Scale down a sound whose peak is over peak_db dBFS; any other stays as it is."""
    return _scaled(x, min(_gain_to(x, peak_db), 1.0))


def fade(x: np.ndarray, rate: int, seconds_in: float = 0.005, seconds_out: float = 0.01) -> np.ndarray:
    """Fade in from and out to silence along a half cosine. In a sound too short for both, each takes half of it."""
    x = np.array(x, np.float32)
    count_in, count_out = (min(round(seconds * rate), x.shape[-1] // 2) for seconds in (seconds_in, seconds_out))
    x[..., :count_in] *= _half_cosine(count_in)
    x[..., x.shape[-1] - count_out :] *= _half_cosine(count_out)[::-1]
    return x


def trim_silence(x: np.ndarray, rate: int) -> np.ndarray:
    """Without the beginning and the end that lie 50 dB below the peak, faded as by `fade`; silence stays as it is.

    5 ms before and 20 ms after the sound are kept, which the fades take place in.
    """
    level = np.abs(x).max(axis=tuple(range(x.ndim - 1)))
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (SILENCE_DB / 20))
    if not len(loud):
        return np.array(x, np.float32)
    return fade(x[..., max(0, loud[0] - round(0.005 * rate)) : loud[-1] + 1 + round(0.02 * rate)], rate)


def crossfade(a: np.ndarray, b: np.ndarray, n: int, curve: str = "equal-power") -> np.ndarray:
    """Join two sounds, the last n samples of `a` fading into the first n of `b`: so many samples fewer than both have.

    Args:
        curve: "equal-power" keeps the loudness where the two are unrelated, "linear" where they are alike.

    Raises:
        ValueError: n is negative or more than either sound has, or the curve is unknown.
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if not 0 <= n <= min(a.shape[-1], b.shape[-1]):
        raise ValueError(f"cannot overlap {n} samples of sounds of {a.shape[-1]} and {b.shape[-1]}")
    position = (np.arange(n, dtype=np.float32) + 0.5) / max(n, 1)
    if curve == "linear":
        rise, fall = position, 1 - position
    elif curve == "equal-power":
        rise, fall = np.sin(position * np.pi / 2), np.cos(position * np.pi / 2)
    else:
        raise ValueError(f"unknown curve {curve!r}")
    kept = a.shape[-1] - n
    middle = a[..., kept:] * fall + b[..., :n] * rise
    return np.concatenate([a[..., :kept], middle, b[..., n:]], axis=-1)


def peak_of(x: np.ndarray) -> float:
    """The largest sample, whatever its sign; 0 of none. No copy is made."""
    return max(float(np.max(x, initial=0.0)), -float(np.min(x, initial=0.0)))


def _gain_to(x: np.ndarray, peak_db: float) -> float:
    peak = peak_of(x)
    return 10 ** (peak_db / 20) / peak if peak else 1.0


def _scaled(x: np.ndarray, gain: float) -> np.ndarray:
    return np.asarray(x, np.float32) * np.float32(gain)


def _half_cosine(count: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / max(count, 1))).astype(np.float32)
