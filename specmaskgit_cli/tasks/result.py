"""What an edit returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..options import EditOptions


@dataclass(frozen=True)
class Edited:
    """Samples [n, channels] at `rate`, the mel [n_mels, frames] of the part that was made, and remarks, a line each.

    `options` are those of the task where it found out one that was left open, so that the file can tell it.
    """

    samples: np.ndarray
    rate: int
    mel: np.ndarray
    notes: tuple[str, ...] = ()
    options: EditOptions | None = None
