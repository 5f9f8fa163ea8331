"""The bank of a checkpoint: styles and contours of the sounds it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SmgError
from .condition import Condition
from .contour import flagged, from_bytes
from .style import LIMIT

if TYPE_CHECKING:
    from ..checkpoint.layout import Checkpoint

NEARNESS = 0.04  # cosine over which the chance of a known sound falls to 1 / e
FILE = "styles.safetensors"


@dataclass(frozen=True)
class Bank:
    """Styles and contours of known sounds, several of each.

    Attributes:
        styles: float32 [n, style_dims].
        sounds: int64 [n], the known sound that each entry is of.
        contours: uint8 [n, columns, 2 * contour_steps], as `contour.to_bytes` gives them.
    """

    styles: np.ndarray
    sounds: np.ndarray
    contours: np.ndarray

    @classmethod
    def read(cls, checkpoint: Checkpoint, sounds: int) -> Bank:
        """The bank of a checkpoint with `sounds` known sounds; empty if it has no bank, or no list of its sounds.

        Raises:
            SmgError: it is changed, or does not fit the settings.
        """
        dims, steps = checkpoint.config.generator.style_dims, checkpoint.config.generator.contour_steps
        if FILE not in checkpoint or not sounds:
            return cls(np.zeros((0, dims), np.float32), np.zeros(0, np.int64), np.zeros((0, 1, 2 * steps), np.uint8))
        made = checkpoint.tensors(FILE)
        styles, owners = made.get("styles"), made.get("sounds")
        fits = styles is not None and owners is not None and styles.shape == (len(owners), dims)
        fits = fits and abs(styles).max(initial=0) <= LIMIT and owners.min(initial=0) >= 0
        contours = made.get("contours", np.zeros((len(owners), 1, 0), np.uint8)) if fits else None
        fits = fits and contours.shape == (len(owners), *contours.shape[1:2], 2 * steps) and contours.shape[1] > 0
        if not fits or owners.max(initial=0) >= sounds:
            raise SmgError(f"{checkpoint.directory / FILE} does not fit the model's settings; pack the model again")
        return cls(styles.astype(np.float32), owners.astype(np.int64), contours.astype(np.uint8))

    @property
    def columns(self) -> int:
        """Of each contour."""
        return self.contours.shape[1]

    @property
    def flagged_contours(self) -> np.ndarray:
        """The contours as a generator takes them, float32 [n, columns, contour_size]."""
        flags = np.ones((*self.contours.shape[:2], 2 if self.contours.shape[2] else 0), np.float32)
        return np.concatenate([from_bytes(self.contours), flags], axis=2)

    def draw(
        self,
        condition: Condition,
        cosines: np.ndarray,
        rng: np.random.Generator,
        columns: int,
        variety: float = 1.0,
    ) -> Condition:
        """A condition with style and contour of one of the known sounds, the likelier the nearer that sound is.

        Args:
            condition: its embedding is kept; all of it if the bank is empty.
            cosines: float [sounds], of the embedding of each known sound to that of the condition.
            columns: of the contour; one that is longer than those of the bank is put together of several. 0: none.
            variety: how far the style is from the mean of all that may be drawn, as a share (the truncation of arXiv
                1809.11096).
        """
        if not len(self.styles):
            return condition
        chances = np.exp((cosines - cosines[self.sounds].max()) / NEARNESS)
        counts = np.bincount(self.sounds, minlength=len(chances))
        chances[counts == 0] = 0
        chances /= chances.sum()
        own = np.flatnonzero(self.sounds == rng.choice(len(chances), p=chances))
        drawn = rng.choice(own)
        typical = (chances / np.maximum(counts, 1))[self.sounds] @ self.styles
        style = (typical + variety * (self.styles[drawn] - typical)).astype(np.float32)[None]
        contour = self._contour(drawn, own, rng, columns) if columns and self.contours.shape[2] else None
        return replace(condition, style=style, contour=contour)

    def _contour(self, drawn: int, own: np.ndarray, rng: np.random.Generator, columns: int) -> np.ndarray:
        """The contour of one entry, `columns` long: its loudest part, or followed by others of the same sound."""
        pieces = [drawn]
        while len(pieces) * self.columns < columns:
            pieces.append(rng.choice(own))
        contour = from_bytes(np.concatenate(self.contours[pieces]))
        loudness = np.cumsum(np.pad(contour[:, : contour.shape[1] // 2].sum(axis=1), (1, 0)))
        first = 0 if len(pieces) > 1 else int(np.argmax(loudness[columns:] - loudness[:-columns]))
        everywhere = np.ones(columns, bool)
        return flagged(contour[first : first + columns], everywhere, everywhere)
