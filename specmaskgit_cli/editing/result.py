"""What an edit returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Edited:
    """Samples [n, channels] at `rate`, the mel [n_mels, frames] of the part that was made, and remarks, a line each."""

    samples: np.ndarray
    rate: int
    mel: np.ndarray
    notes: tuple[str, ...] = ()
