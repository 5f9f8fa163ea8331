"""What the generator is told of a sound, and the one place that knows how it is packed into a vector.

A packed condition is float32 [B, condition_size], `[contour | embedding | style, flag | guidance]`: the contour of each
column of a window, the embedding, the style and whether there is one, and the scale of the guidance that the generator
is to apply itself. A generator that lacks one of them has no place for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config.settings import GeneratorConfig


@dataclass(frozen=True)
class Condition:
    """What a sound is to be; a part that is None is left to the generator.

    Attributes:
        embedding: float32 [1, D], of unit length in the joint text-audio space.
        style: float32 [1, style_dims], see `style`.
        contour: float32 [columns, contour_size], as `contour.flagged` gives it.
    """

    embedding: np.ndarray
    style: np.ndarray | None = None
    contour: np.ndarray | None = None

    def pack(self, config: GeneratorConfig, first_column: int = 0, guidance: float = 0.0) -> np.ndarray:
        """The packed condition, float32 [1, condition_size], of a window whose contour begins at `first_column`."""
        layout = Layout(config)
        packed = np.zeros((1, layout.size), np.float32)
        packed[:, layout.embedding] = self.embedding
        if config.style_dims and self.style is not None:
            packed[:, layout.style], packed[:, layout.flag] = self.style, 1.0
        if config.contour_steps and self.contour is not None:
            part = self.contour[first_column : first_column + config.max_columns]
            packed[:, : part.size] = part.reshape(1, -1)
        packed[:, layout.guidance] = guidance
        return packed

    @classmethod
    def unpack(cls, packed: np.ndarray, config: GeneratorConfig) -> Condition:
        """The condition of a packed one, [condition_size]; its contour has the columns of a window."""
        layout = Layout(config)
        style = packed[None, layout.style] if packed[layout.flag].any() else None
        contour = packed[layout.contour].reshape(config.max_columns, -1) if config.contour_steps else None
        return cls(packed[None, layout.embedding], style, contour)


@dataclass(frozen=True)
class Layout:
    """Where in the last axis of a packed condition each part lies, as slices; for arrays and tensors alike.

    A part that the generator lacks is an empty slice.
    """

    config: GeneratorConfig

    @property
    def contour(self) -> slice:
        """Of all columns of a window, [max_columns * contour_size]."""
        return slice(0, self.config.max_columns * self.config.contour_size)

    @property
    def whole(self) -> slice:
        """All that is said of the sound as a whole: what follows the contour."""
        return slice(self.contour.stop, self.size)

    @property
    def embedding(self) -> slice:
        return slice(self.contour.stop, self.contour.stop + self.config.condition_dim)

    @property
    def style(self) -> slice:
        return slice(self.embedding.stop, self.embedding.stop + self.config.style_dims)

    @property
    def flag(self) -> slice:
        """1 where there is a style."""
        return slice(self.style.stop, self.style.stop + (self.config.style_dims > 0))

    @property
    def guidance(self) -> slice:
        return slice(self.flag.stop, self.flag.stop + (self.config.guidance > 0))

    @property
    def size(self) -> int:
        """Of the packed condition; the same as the settings' condition_size."""
        return self.guidance.stop

    def to_dict(self) -> dict[str, list[int]]:
        """First index of each part and the index after its last, by the name of the part."""
        names = ("contour", "embedding", "style", "flag", "guidance")
        places = {name: getattr(self, name) for name in names}
        return {name: [place.start, place.stop] for name, place in places.items()}


def with_guidance(packed: np.ndarray, scale: np.ndarray, config: GeneratorConfig) -> np.ndarray:
    """Packed conditions [B, condition_size] with the scale [B] of the guidance that the generator is to apply."""
    guided = packed.copy()
    guided[:, Layout(config).guidance] = scale[:, None]
    return guided
