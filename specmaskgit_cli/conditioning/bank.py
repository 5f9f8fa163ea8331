"""How a sound is to be, beside what it is to be of: its style and its contour, told or those of known sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config.settings import GeneratorConfig
from ..errors import SmgError
from .contour import flagged, from_bytes
from .style import LIMIT

if TYPE_CHECKING:
    from ..checkpoint.layout import Checkpoint

NEARNESS = 0.04  # cosine over which the chance of a known sound falls to 1 / e
FILE = "styles.safetensors"


@dataclass(frozen=True)
class Manner:
    """What a generator is told beside an embedding; None where it is not.

    Attributes:
        style: float32 [1, style_dims], see `style`.
        contour: float32 [columns, contour_size], as `contour.flagged` gives it.
    """

    style: np.ndarray | None = None
    contour: np.ndarray | None = None


def joined(embedding: np.ndarray, manner: Manner, config: GeneratorConfig, first: int = 0) -> np.ndarray:
    """What a generator is conditioned on, float32 [B, D'], of embeddings [B, D] and a manner, from its column `first`
    on: contour, embedding, style, and whether there is one. D' is the condition's size but for the guidance's."""
    parts = [embedding]
    if config.style_dims:
        told = np.zeros(config.style_dims + 1, np.float32)
        if manner.style is not None:
            told[:-1], told[-1] = manner.style[0], 1.0
        parts.append(np.tile(told, (len(embedding), 1)))
    if config.contour_steps:
        told = np.zeros((config.max_columns, config.contour_size), np.float32)
        if manner.contour is not None:
            part = manner.contour[first : first + config.max_columns]
            told[: len(part)] = part
        parts.insert(0, np.tile(told.reshape(-1), (len(embedding), 1)))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Bank:
    """Manners of known sounds.

    Attributes:
        styles: float32 [n, style_dims].
        sounds: int64 [n], which of the known sounds each is of.
        contours: uint8 [n, columns, 2 * contour_steps], as `contour.to_bytes` gives them.
    """

    styles: np.ndarray
    sounds: np.ndarray
    contours: np.ndarray

    @classmethod
    def read(cls, checkpoint: Checkpoint, sounds: int) -> Bank:
        """That of a checkpoint with so many known sounds; empty if there is none, or no telling of what sounds.

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
    def told(self) -> np.ndarray:
        """The contours as a generator is told them, float32 [n, columns, contour_size]."""
        flags = np.ones((*self.contours.shape[:2], 2 if self.contours.shape[2] else 0), np.float32)
        return np.concatenate([from_bytes(self.contours), flags], axis=2)

    def draw(self, cosines: np.ndarray, rng: np.random.Generator, columns: int, variety: float = 1.0) -> Manner:
        """The manner of one of the known sounds, the likelier the nearer that sound is; one that tells nothing if the
        bank is empty.

        Args:
            cosines: float [sounds], of each known sound's embedding to what is wished for.
            columns: of the contour; one that is longer than those of the bank is put together of several.
            variety: how far the style is from the mean of all that may be drawn, as a share (the truncation of arXiv
                1809.11096).
        """
        if not len(self.styles):
            return Manner()
        chances = np.exp((cosines - cosines[self.sounds].max()) / NEARNESS)
        counts = np.bincount(self.sounds, minlength=len(chances))
        chances[counts == 0] = 0
        chances /= chances.sum()
        own = np.flatnonzero(self.sounds == rng.choice(len(chances), p=chances))
        drawn = rng.choice(own)
        typical = (chances / np.maximum(counts, 1))[self.sounds] @ self.styles
        style = (typical + variety * (self.styles[drawn] - typical)).astype(np.float32)[None]
        return Manner(style, self._contour(drawn, own, rng, columns) if self.contours.shape[2] else None)

    def _contour(self, drawn: int, own: np.ndarray, rng: np.random.Generator, columns: int) -> np.ndarray:
        """That of one entry, for so many columns: its loudest part, or followed by others of the same sound."""
        pieces = [drawn]
        while len(pieces) * self.contours.shape[1] < columns:
            pieces.append(rng.choice(own))
        contour = from_bytes(np.concatenate(self.contours[pieces]))
        loudness = np.cumsum(np.pad(contour[:, : contour.shape[1] // 2].sum(axis=1), (1, 0)))
        first = 0 if len(pieces) > 1 else int(np.argmax(loudness[columns:] - loudness[:-columns]))
        told = np.ones(columns, bool)
        return flagged(contour[first : first + columns], told, told)
