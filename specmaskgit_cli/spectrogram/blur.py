"""Means of the values around each, weighted by a Gaussian of their distance."""

from __future__ import annotations

from typing import Literal

import numpy as np


def blur(
    values: np.ndarray, deviation: float, axis: int, beyond: Literal["constant", "edge", "reflect"] = "constant"
) -> np.ndarray:
    """An array of the same shape.

    Args:
        deviation: standard deviation of the weights, in places along `axis`; they reach to four of it.
        beyond: what lies beyond the ends, as a mode of `np.pad`: zeros by default.
    """
    reach = int(4 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    around = [(reach, reach) if side == axis else (0, 0) for side in range(values.ndim)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, around, mode=beyond), len(weights), axis=axis)
    return windows @ (weights / weights.sum())
