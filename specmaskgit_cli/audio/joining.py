"""Pieces of a sound that overlap, joined one after the other without a seam."""

from __future__ import annotations

import numpy as np

SHIFT_SECONDS = 0.0125  # by which a piece may begin earlier, so that it meets the last in phase: a period of 80 Hz


class Joiner:
    """Joins each piece to the one before, where both have the same sound in phases of their own.

    A piece is moved by up to 12.5 ms to where it resembles the end of the last one most (as in WSOLA, Verhelst and
    Roelands 1993), so that a tone goes on in phase. Then both are crossfaded at a constant power, whether they are
    alike, as tones then are, or unrelated, as noise is.

    Args:
        overlap: samples that a piece has in common with the one before.
    """

    def __init__(self, overlap: int, rate: int):
        self._width = overlap - min(round(SHIFT_SECONDS * rate), overlap // 2)
        self._shifts = overlap - self._width
        self._last: np.ndarray | None = None

    def add(self, piece: np.ndarray) -> np.ndarray:
        """What is settled once a piece [channels, n] follows, float32 [channels, m]; its end waits for the next piece.

        The first channel says where both are alike. n is at least twice the overlap.
        """
        if self._last is not None:
            last, width = self._last, self._width
            around = piece[0, : width + self._shifts]
            match = np.correlate(around, last[0], "valid")
            power = np.correlate(np.square(around), np.ones(width, np.float32), "valid")
            shift = int(np.argmax(match / np.sqrt(np.maximum(power, 1e-12))))
            piece = piece[:, shift:]
            piece = np.concatenate([_crossfaded(last, piece[:, :width]), piece[:, width:]], axis=1)
        self._last = piece[:, -self._width :].copy()
        return piece[:, : -self._width]

    def end(self) -> np.ndarray:
        """The end of the last piece, [channels, m], if none is to follow."""
        return self._last if self._last is not None else np.zeros((1, 0), np.float32)


def _crossfaded(last: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Two stretches [channels, n] into each other."""
    angle = (np.arange(last.shape[1], dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / last.shape[1])
    powers = np.sqrt(np.square(last).sum(axis=1) * np.square(new).sum(axis=1))
    alike = np.clip((last * new).sum(axis=1) / np.maximum(powers, 1e-12), 0, 1)[:, None]
    faded = last * np.cos(angle) + new * np.sin(angle)
    return (faded / np.sqrt(1 + alike * np.sin(2 * angle))).astype(np.float32, copy=False)
