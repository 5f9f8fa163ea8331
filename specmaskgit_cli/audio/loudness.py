"""Loudness after ITU-R BS.1770-4, and true peaks. Samples are [n] or [n, channels]; all channels count alike."""

from __future__ import annotations

import numpy as np

from .files import resample

CEILING_DB = -1.0  # true peak, dBTP
_BLOCK_SECONDS = 0.4
_RESPONSE_SECONDS = 0.25  # after which the filters' response is below 1e-9
_FFT = 1 << 17
_LOWEST_RATE = 8000  # the shelf at 1.7 kHz needs room


def integrated_loudness(x: np.ndarray, rate: int) -> float:
    """Gated loudness in LUFS, -inf for silence. A sound of less than 0.4 s counts as one block."""
    if rate < _LOWEST_RATE:
        x, rate = resample(x, rate, _LOWEST_RATE), _LOWEST_RATE
    power = _weighted_power(x, rate)
    hop = round(_BLOCK_SECONDS / 4 * rate)  # blocks overlap by three quarters
    if len(power) < 4 * hop:
        blocks = power.mean(keepdims=True, dtype=np.float64)
    else:
        hops = power[: len(power) // hop * hop].reshape(-1, hop).mean(axis=1, dtype=np.float64)
        blocks = np.convolve(hops, np.full(4, 0.25), "valid")
    blocks = blocks[_lufs(blocks) > -70]
    if not len(blocks):
        return -np.inf
    return float(_lufs(blocks[_lufs(blocks) > _lufs(blocks.mean()) - 10].mean()))


def true_peak_db(x: np.ndarray, rate: int) -> float:
    """The peak of the waveform between its samples too, in dBTP, by fourfold oversampling; -inf for silence."""
    peak, step, margin = 0.0, 1 << 20, 1 << 10  # in pieces, for the memory's sake
    for start in range(0, len(x), step):
        piece = resample(x[max(0, start - margin) : start + step + margin], rate, 4 * rate)
        if start:
            piece = piece[2 * margin :]  # what the cut itself makes of the first samples is no peak
        if start + step + margin < len(x):
            piece = piece[: -2 * margin]
        peak = max(peak, float(np.max(np.abs(piece), initial=0.0)))
    peak = max(peak, float(np.max(np.abs(x), initial=0.0)))
    return 20 * float(np.log10(peak)) if peak else -np.inf


def to_loudness(x: np.ndarray, rate: int, lufs: float) -> tuple[np.ndarray, float]:
    """Scale to a loudness, or less where the true peak would exceed -1 dBTP; float32, and the loudness reached.

    Silence stays silence.
    """
    now = integrated_loudness(x, rate)
    if not np.isfinite(now):
        return np.asarray(x, np.float32), now
    gain_db = min(lufs - now, CEILING_DB - true_peak_db(x, rate))
    return np.asarray(x, np.float32) * np.float32(10 ** (gain_db / 20)), now + gain_db


def _lufs(power):
    with np.errstate(divide="ignore"):
        return -0.691 + 10 * np.log10(power)


def _weighted_power(x: np.ndarray, rate: int) -> np.ndarray:
    """Squares of the K-weighted samples, summed over the channels, float32 [n]."""
    x = np.asarray(x, np.float32).reshape(len(x), -1)
    taps = round(_RESPONSE_SECONDS * rate)
    impulse = np.fft.irfft(_k_weighting(rate), _FFT)[:taps]
    response = np.fft.rfft(impulse, _FFT)
    padded = np.pad(x, ((taps - 1, 0), (0, 0)))
    power, step = np.zeros(len(x), np.float32), _FFT - taps + 1
    for start in range(0, len(x), step):
        for channel in range(x.shape[1]):
            spectrum = np.fft.rfft(padded[start : start + _FFT, channel], _FFT) * response
            weighted = np.fft.irfft(spectrum, _FFT)[taps - 1 :]
            part = power[start : start + step]
            part += np.square(weighted[: len(part)])
    return power


def _k_weighting(rate: int) -> np.ndarray:
    """Frequency response of the head's shelf and the high pass, complex [_FFT / 2 + 1], for any sample rate."""
    z = np.exp(-2j * np.pi * np.arange(_FFT // 2 + 1) / _FFT)  # one sample's delay
    k, q = np.tan(np.pi * 1681.974450955533 / rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = (high + band * k / q + k * k) + 2 * (k * k - high) * z + (high - band * k / q + k * k) * z**2
    shelf /= _denominator(k, q, z)
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    return shelf * (1 - 2 * z + z**2) * (1 + k / q + k * k) / _denominator(k, q, z)


def _denominator(k: float, q: float, z: np.ndarray) -> np.ndarray:
    return (1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2
