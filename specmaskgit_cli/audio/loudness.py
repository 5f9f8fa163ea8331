"""Loudness after ITU-R BS.1770-4, and true peaks. Samples are [n] or [channels, n]; all channels count alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .files import resample
from .gain import held
from .levels import limit_peak, peak_of

CEILING_DB = -1.0  # true peak, dBTP
MAX_LIMIT_DB = 20.0  # by which peaks are lowered; more would leave a sound of nothing but peaks
# In which the gain falls before a peak, and rises after it: the longest with which the loudness can be reached, as fast
# ones distort, and slow ones lower all of a click.
LOOK_AHEAD_SECONDS = (0.01, 0.003, 0.001)
_NEAR_DB, _ATTEMPTS = 0.05, 12
_BLOCK_SECONDS = 0.4
_RESPONSE_SECONDS = 0.25  # after which the filters' response is below 1e-9
_FFT = 1 << 17
_LOWEST_RATE = 8000  # Hz; the shelf at 1.7 kHz needs room
_HIGHEST_RATE = 192_000  # Hz; the filters' response has to fit into the FFT


def integrated_loudness(x: np.ndarray, rate: int) -> float:
    """Gated loudness in LUFS, -inf for silence.

    A sound of less than 0.4 s, which has no block to integrate, has its momentary loudness: that of 0.4 s in which it
    is heard, and then silence.
    """
    wanted = min(max(rate, _LOWEST_RATE), _HIGHEST_RATE)
    x, rate = resample(x, rate, wanted), wanted
    hop = round(_BLOCK_SECONDS / 4 * rate)  # blocks overlap by three quarters
    power = _weighted_power(x, rate)
    if x.shape[-1] < 4 * hop:
        blocks = np.concatenate(list(power)).sum(keepdims=True, dtype=np.float64) / (4 * hop)
    else:
        blocks = np.convolve(np.concatenate(list(_means(power, hop))), np.full(4, 0.25), "valid")
    blocks = blocks[_lufs(blocks) > -70]
    if not len(blocks):
        return -np.inf
    return float(_lufs(blocks[_lufs(blocks) > _lufs(blocks.mean()) - 10].mean()))


def true_peak_db(x: np.ndarray, rate: int) -> float:
    """The peak of the waveform between its samples too, in dBTP, by fourfold oversampling; -inf for silence."""
    peak = max([peak_of(x), *(float(piece.max(initial=0.0)) for piece in _peaks(x, rate))])
    return 20 * float(np.log10(peak)) if peak else -np.inf


def to_loudness(x: np.ndarray, rate: int, lufs: float, loop: bool = False) -> tuple[np.ndarray, float]:
    """Bring to a loudness with a true peak of -1 dBTP at most; float32 [channels, n], and the loudness reached.

    Where gain alone would raise peaks over that, a limiter lowers them, and what it takes of the loudness is made up
    for; by 20 dB at most, beyond which the sound stays less loud. Silence stays silence.

    Args:
        loop: the end runs into the beginning, and the gain of the limiter too.
    """
    x, reached = np.asarray(x, np.float32), integrated_loudness(x, rate)
    if not np.isfinite(reached):
        return x, reached
    peak, gain_db = true_peak_db(x, rate), lufs - reached
    if peak + gain_db <= CEILING_DB:
        return x * np.float32(10 ** (gain_db / 20)), lufs
    peaks, most = np.concatenate(list(_peaks(x, rate))), CEILING_DB - peak + MAX_LIMIT_DB
    for seconds in LOOK_AHEAD_SECONDS:
        for _ in range(_ATTEMPTS):
            gain = 10 ** (gain_db / 20)
            made = _limited(x * np.float32(gain), peaks * gain, rate, round(seconds * rate), loop)
            reached = integrated_loudness(made, rate)
            if abs(reached - lufs) < _NEAR_DB:
                return made, reached
            wanted = min(gain_db + lufs - reached, most)
            if wanted == gain_db:
                break
            gain_db = wanted
    return made, reached


def _limited(x: np.ndarray, peaks: np.ndarray, rate: int, reach: int, loop: bool) -> np.ndarray:
    """x [channels, n] with true peaks at -1 dBTP at most; `peaks` [n] are its own, `reach` as of `held`."""
    ceiling = 10 ** (CEILING_DB / 20)
    needed = np.minimum(1, ceiling / np.maximum(peaks, 1e-9))
    around = min(3 * reach, len(needed)) if loop else 0
    gain = held(np.pad(needed, around, mode="wrap"), reach)[around : around + len(needed)]
    made = x * gain
    # A gain that changes can raise what lies between two samples by a hair.
    return limit_peak(made, CEILING_DB - max(0.0, true_peak_db(made, rate) - 20 * float(np.log10(peak_of(made)))))


def _peaks(x: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    """The largest value of x [n] or [channels, n] at and after each sample, before the next, by fourfold oversampling;
    float32 [n], in pieces, for the memory's sake."""
    x = np.atleast_2d(x)
    step, margin = max(1 << 15, (1 << 19) // max(2, len(x))), 1 << 10
    for start in range(0, x.shape[1], step):
        before, count = min(start, margin), min(step, x.shape[1] - start)
        piece = x[:, start - before : start + step + margin]
        over = np.abs(resample(piece, rate, 4 * rate)[:, 4 * before :][:, : 4 * count]).max(axis=0)
        yield np.pad(over, (0, 4 * count - len(over))).reshape(count, 4).max(axis=1)


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
