"""A sound without an end at a level that does not jump."""

from __future__ import annotations

from collections import deque

import numpy as np

from .gain import PEAK_SECONDS, limited, moving_power
from .levels import MAX_GAIN_DB

LEVEL_DB = -18.0  # root mean square of the loudest moment; that of most generated sounds, whose peak is at -1 dBFS
PEAK_DB = -1.0  # of single samples
MOMENT_SECONDS = 0.4
MEMORY_SECONDS = 10.0  # in which the loudest moment is sought
RISE_DB, FALL_DB = 1.5, 4.0  # a second, by which the gain follows


class Steady:
    """Brings a sound that comes piece by piece to one level, with no sample above -1 dBFS.

    The first piece says the gain. Later it slowly follows the loudest moment of the last ten seconds, and a limiter
    turns down the peaks. It looks some milliseconds ahead: so much of each piece waits for the next.
    """

    def __init__(self, rate: int):
        self._rate, self._reach = rate, 2 * round(PEAK_SECONDS * rate)
        self._powers: deque[tuple[float, int]] = deque()  # of the loudest moment of each piece, with its samples
        self._decibels: float | None = None  # the gain
        self._around: np.ndarray | None = None  # the end of what was returned, and what waits
        self._done = 0  # samples of `_around` that were returned

    def add(self, piece: np.ndarray) -> np.ndarray:
        """As much of the sound so far as can be told once a piece [channels, n] is there, float32 [channels, m]."""
        return self._limited(piece * self._gain(piece), self._reach)

    def end(self, piece: np.ndarray) -> np.ndarray:
        """The last piece [channels, n], and all that waits for it."""
        return self._limited(piece * self._gain(piece), 0)

    def _gain(self, piece: np.ndarray) -> np.ndarray:
        """The gain of each sample of a piece, float32 [n]."""
        count = piece.shape[1]
        power = moving_power(np.square(piece).mean(axis=0), round(MOMENT_SECONDS * self._rate))
        self._powers.append((float(power.max(initial=0.0)), count))
        while sum(samples for _, samples in self._powers) - self._powers[0][1] >= MEMORY_SECONDS * self._rate:
            self._powers.popleft()
        loudest = 10 * np.log10(max(max(power for power, _ in self._powers), 1e-12))
        wanted = min(LEVEL_DB - loudest, MAX_GAIN_DB)
        before, seconds = wanted if self._decibels is None else self._decibels, count / self._rate
        self._decibels = float(np.clip(wanted, before - FALL_DB * seconds, before + RISE_DB * seconds))
        line = np.linspace(before, self._decibels, count, endpoint=False)
        return (10 ** (line / 20)).astype(np.float32)

    def _limited(self, piece: np.ndarray, waiting: int) -> np.ndarray:
        """All but the last `waiting` samples of what was not returned yet, with its peaks limited."""
        around = piece if self._around is None else np.concatenate([self._around, piece], axis=1)
        stop = max(self._done, around.shape[1] - waiting)
        made = limited(around, self._rate, 10 ** (PEAK_DB / 20))[0][:, self._done : stop]
        kept = max(0, stop - self._reach)
        self._around, self._done = around[:, kept:].copy(), stop - kept
        return made
