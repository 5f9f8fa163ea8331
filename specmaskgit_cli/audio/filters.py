"""Filters and curves of level for waveforms: bands without phase shift, and spans that blend in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FADE_SECONDS = 0.03
MIRROR_SECONDS = 0.1  # by which a sound is mirrored at its ends before it is filtered
# Hz between which the models' first bands fade in: what lies below is an offset or rumble to them.
LOW_HZ = 20.0, 45.0
_PIECE = 1 << 21  # samples that are filtered at once, for the memory's sake
_MARGIN_SECONDS = 0.5  # around such a piece


def band(x: np.ndarray, rate: int, low: float | None, high: float | None) -> np.ndarray:
    """The part of x [channels, n] between two frequencies, without phase shift; None is no limit on that side.

    The flanks are half cosines within the band, a tenth of the edge's frequency wide.
    """
    if low in (None, 0) and high is None:
        return x

    def response(hz: np.ndarray) -> np.ndarray:
        kept = np.ones(len(hz), np.float32)
        if low:
            kept *= _rise((hz - low) / (0.1 * low))
        if high is not None:
            kept *= _rise((high - hz) / (0.1 * high))
        return kept

    return _filtered(x, rate, response)


def lows(x: np.ndarray, rate: int) -> np.ndarray:
    """The offset and the rumble of x [channels, n], which lie below all that the models hear; float32."""
    out, margin = np.empty(x.shape, np.float32), round(_MARGIN_SECONDS * rate)
    for start in range(0, x.shape[1], _PIECE):
        before = min(start, margin)
        piece = x[:, start - before : start + _PIECE + margin]
        # A filter would not find all of the mean in a short piece.
        mean = piece.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
        found = _filtered(piece - mean, rate, lambda hz: 1 - _rise((hz - LOW_HZ[0]) / (LOW_HZ[1] - LOW_HZ[0]))) + mean
        out[:, start : start + _PIECE] = found[:, before : before + _PIECE]
    return out


def _filtered(x: np.ndarray, rate: int, response: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """x [channels, n] with what `response` gives of each frequency in Hz; float32, without phase shift."""
    # A sound that is cut off abruptly would click in each of its bands; mirrored, it goes on.
    length = x.shape[1]
    margin = max(0, min(round(MIRROR_SECONDS * rate), length - 1))
    size = 1 << (length + 2 * margin - 1).bit_length()
    shape = response(np.fft.rfftfreq(size, 1 / rate))
    out = np.empty(x.shape, np.float32)
    for samples, filtered in zip(x, out, strict=True):
        spectrum = np.fft.rfft(np.pad(samples, margin, mode="reflect"), size)
        filtered[:] = np.fft.irfft(spectrum * shape, size)[margin : margin + length]
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
