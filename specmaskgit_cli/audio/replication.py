"""Spectral band replication of waveforms at any rate: frequencies above those the models reach, for edits."""

from __future__ import annotations

import numpy as np

from .filters import MIRROR_SECONDS, band

SHIFT = 3000.0  # Hz by which the top of the models' band is moved up
FALL = 0.1  # of where it ends, over which it dies away, as sounds resampled to that rate do
MAX_POWER = 4.0  # that it may gain
STEADY_SECONDS = 0.1  # over which levels are averaged
FLANK = 500.0  # Hz over which it takes over at the models' highest frequency


def highest(top: float, rate: int) -> float:
    """Where what `air` adds ends, in Hz."""
    return min(top + SHIFT, rate / 2)


def air(x: np.ndarray, rate: int, top: float) -> np.ndarray:
    """What to add to x [channels, n], which ends at `top` Hz, so that it goes on for 3 kHz more.

    The band below `top` moved up, at the level the sound has just below `top`.
    """
    end, length = top + SHIFT, x.shape[1]
    margin = min(round(MIRROR_SECONDS * rate), length - 1)
    size = 1 << (length + 2 * margin - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / rate)
    response = np.clip((hz - (top + 100 - FLANK)) / FLANK, 0, 1)
    if rate / 2 > end:
        response *= np.clip((end - hz) / (FALL * end), 0, 1)
    response = (0.5 - 0.5 * np.cos(np.pi * response)).astype(np.float32)
    places = round(SHIFT / hz[1])
    out = np.empty(x.shape, np.float32)
    for samples, added in zip(x, out, strict=True):
        spectrum = np.fft.rfft(np.pad(samples, margin, mode="reflect"), size)
        spectrum[places:] = spectrum[:-places].copy()
        spectrum[:places] = 0
        added[:] = np.fft.irfft(spectrum * response, size)[margin : margin + length]
    wanted, found = (_power(x, rate, edge - 1100, edge) for edge in (top - 100, top - SHIFT + 1000))
    return out * np.sqrt(np.minimum(wanted / found, MAX_POWER))


def brightened(new: np.ndarray, rate: int, top: float, like: np.ndarray) -> np.ndarray:
    """`new` [channels, n], which ends at `top` Hz, with as much above it as the sound `like` [channels, m] has."""
    if rate / 2 < top + FLANK or not like.any():
        return new
    power = np.square(band(like, rate, top + 100, min(top + SHIFT, rate / 2))).mean(dtype=np.float64)
    share = power / max(np.square(air(like, rate, top)).mean(dtype=np.float64), 1e-14)
    return new + np.float32(np.sqrt(min(share, MAX_POWER))) * air(new, rate, top)


def _power(x: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Float32 [n]: power between two frequencies, of all channels together, averaged over 0.1 s."""
    power = np.square(band(x, rate, low, high)).sum(axis=0, dtype=np.float64)
    reach = max(1, round(STEADY_SECONDS * rate / 2))
    total = np.concatenate([[0.0], np.cumsum(power)])
    first, last = (np.clip(np.arange(len(power)) + side, 0, len(power)) for side in (-reach, reach))
    return ((total[last] - total[first]) / (last - first) + 1e-14).astype(np.float32)
