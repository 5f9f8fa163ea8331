"""Gains that change over time: so that no sample, and no stretch of a sound, is louder than it may be."""

from __future__ import annotations

import numpy as np

PEAK_SECONDS = 0.003  # in which a gain falls before a sample that needs it


def held(gain: np.ndarray, reach: int) -> np.ndarray:
    """A smooth gain [n] that is nowhere above `gain`: the least of it within `reach` samples, averaged over as many.

    It begins to fall `reach` samples before a place that needs it, so that no sudden change is heard.
    """
    reach = max(1, reach)
    least = np.pad(np.asarray(gain, np.float64), 2 * reach, mode="edge")
    span, width = 1, 2 * reach + 1
    while span < width:  # the least of ever longer spans, each from two of half its length
        step = min(span, width - span)
        least = np.minimum(least[:-step], least[step:])
        span += step
    total = np.cumsum(np.concatenate([[0.0], least]))
    return ((total[width:] - total[:-width]) / width)[: len(gain)].astype(np.float32)


def moving_power(power: np.ndarray, width: int) -> np.ndarray:
    """The mean of a power [n] over `width` samples around each; at the ends over the first and the last `width`."""
    width = max(1, min(width, len(power)))
    total = np.cumsum(np.concatenate([[0.0], np.asarray(power, np.float64)]))
    start = np.clip(np.arange(len(power)) - width // 2, 0, len(power) - width)
    return np.maximum(total[start + width] - total[start], 0) / width


def limited(x: np.ndarray, rate: int, room: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [channels, n] with no sample beyond the room there is for it, [channels, n] or the same for all; and the gain
    [n] that was needed."""
    needed = np.minimum(1, np.maximum(0, room) / np.maximum(np.abs(x), 1e-9)).min(axis=0, initial=1.0)
    if needed.min(initial=1.0) == 1:
        return x, np.ones(x.shape[1], np.float32)
    gain = held(needed, round(PEAK_SECONDS * rate))
    return x * gain, gain
