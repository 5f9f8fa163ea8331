"""Loudness after ITU-R BS.1770-4, and true peaks. Samples are [n] or [channels, n]; all channels count alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .files import resample
from .levels import peak_of

CEILING_DB = -1.0  # true peak, dBTP
_BLOCK_SECONDS = 0.4
_RESPONSE_SECONDS = 0.25  # after which the filters' response is below 1e-9
_FFT = 1 << 17
_LOWEST_RATE = 8000  # Hz; the shelf at 1.7 kHz needs room
_HIGHEST_RATE = 192_000  # Hz; the filters' response has to fit into the FFT


def integrated_loudness(x: np.ndarray, rate: int) -> float:
    """Gated loudness in LUFS, -inf for silence. A sound of less than 0.4 s counts as one block."""
    wanted = min(max(rate, _LOWEST_RATE), _HIGHEST_RATE)
    x, rate = resample(x, rate, wanted), wanted
    hop = round(_BLOCK_SECONDS / 4 * rate)  # blocks overlap by three quarters
    power = _weighted_power(x, rate)
    if x.shape[-1] < 4 * hop:
        blocks = np.concatenate(list(power)).mean(keepdims=True, dtype=np.float64)
    else:
        blocks = np.convolve(np.concatenate(list(_means(power, hop))), np.full(4, 0.25), "valid")
    blocks = blocks[_lufs(blocks) > -70]
    if not len(blocks):
        return -np.inf
    return float(_lufs(blocks[_lufs(blocks) > _lufs(blocks.mean()) - 10].mean()))


def true_peak_db(x: np.ndarray, rate: int) -> float:
    """The peak of the waveform between its samples too, in dBTP, by fourfold oversampling; -inf for silence."""
    length = x.shape[-1]
    channels = x.size // max(1, length)
    # In pieces, for the memory's sake.
    peak, step, margin = peak_of(x), max(1 << 15, (1 << 21) // max(2, channels)), 1 << 10
    for start in range(0, length, step):
        piece = resample(x[..., max(0, start - margin) : start + step + margin], rate, 4 * rate)
        if start:
            piece = piece[..., 2 * margin :]  # what the cut itself makes of the first samples is no peak
        if start + step + margin < length:
            piece = piece[..., : -2 * margin]
        peak = max(peak, peak_of(piece))
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


def _means(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Means of every `size` values of an array [n] that comes in pieces; fewer at its end are left out."""
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        whole = len(rest) // size * size
        yield rest[:whole].reshape(-1, size).mean(axis=1, dtype=np.float64)
        rest = rest[whole:]


def _weighted_power(x: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    """Squares of the K-weighted samples, summed over the channels, float32 [n]; in pieces, for the memory's sake."""
    x = np.atleast_2d(np.asarray(x, np.float32))
    taps = round(_RESPONSE_SECONDS * rate)
    impulse = np.fft.irfft(_k_weighting(rate), _FFT)[:taps]
    response = np.fft.rfft(impulse, _FFT)
    step = _FFT - taps + 1
    for start in range(0, x.shape[1], step):
        before = min(start, taps - 1)  # samples that the response still tells of; there are none before the first
        power = np.zeros(min(step, x.shape[1] - start), np.float32)
        for channel in x:
            heard = np.pad(channel[start - before : start + step], (taps - 1 - before, 0))
            weighted = np.fft.irfft(np.fft.rfft(heard, _FFT) * response, _FFT)[taps - 1 :]
            power += np.square(weighted[: len(power)])
        yield power


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
