"""Filters and curves of level for waveforms: bands without phase shift, and spans that blend in."""

from __future__ import annotations

import numpy as np

FADE_SECONDS = 0.03
MIRROR_SECONDS = 0.1  # by which a sound is mirrored at its ends before it is filtered


def band(x: np.ndarray, rate: int, low: float | None, high: float | None) -> np.ndarray:
    """The part of x [channels, n] between two frequencies, without phase shift; None is no limit on that side.

    The flanks are half cosines within the band, a tenth of the edge's frequency wide.
    """
    if low in (None, 0) and high is None:
        return x
    # A sound that is cut off abruptly would click in each of its bands; mirrored, it goes on.
    length = x.shape[1]
    margin = min(round(MIRROR_SECONDS * rate), length - 1)
    size = 1 << (length + 2 * margin - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / rate)
    response = np.ones(len(hz), np.float32)
    if low:
        response *= _rise((hz - low) / (0.1 * low))
    if high is not None:
        response *= _rise((high - hz) / (0.1 * high))
    out = np.empty(x.shape, np.float32)
    for samples, filtered in zip(x, out, strict=True):
        spectrum = np.fft.rfft(np.pad(samples, margin, mode="reflect"), size)
        filtered[:] = np.fft.irfft(spectrum * response, size)[margin : margin + length]
    return out


def plateau(length: int, start: int, stop: int, rate: int) -> np.ndarray:
    """float32 [length]: 1 from start to stop and 0 outside, rising and falling along half cosines within.

    The flanks take 30 ms or a quarter of the span; at the ends of the whole there are none.
    """
    curve = np.zeros(length, np.float32)
    curve[start:stop] = 1
    count = min(round(FADE_SECONDS * rate), (stop - start) // 4)
    flank = _rise((np.arange(count) + 0.5) / max(count, 1))
    if start > 0:
        curve[start : start + count] = flank
    if stop < length:
        curve[stop - count : stop] = flank[::-1]
    return curve


def _rise(position: np.ndarray) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(np.pi * np.clip(position, 0, 1))).astype(np.float32)
