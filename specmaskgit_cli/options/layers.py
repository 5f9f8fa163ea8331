"""Layers of a scene: how several prompts, each with a level, are written as one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UsageError, at_fault

MOST_LAYERS = 16
LOWEST_DB, HIGHEST_DB = -60.0, 24.0
_BETWEEN = re.compile(r"(?:^|\s)\+(?=\s|$)")  # a plus with blanks around it; that of "c++" separates nothing
_LEVEL = re.compile(r"(.*?)\s*:\s*([+-]?[0-9]+(?:\.[0-9]*)?)\s*dB", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Layer:
    """A sound within a scene: what to hear, and its level in decibels relative to layers that are equally loud."""

    text: str
    level_db: float = 0.0

    @classmethod
    def parse(cls, prompt: str) -> tuple[Layer, ...]:
        """The layers of a prompt such as "rain:-3dB + distant thunder"; one without " + " is a single layer as it is.

        Raises:
            UsageError: a layer without a text, a level out of range, or too many layers.
        """
        parts = [part.strip() for part in _BETWEEN.split(prompt)]
        if len(parts) == 1:
            return (cls(prompt),)
        with at_fault("prompt"):
            if len(parts) > MOST_LAYERS:
                raise UsageError(f"prompt has {len(parts)} layers; use up to {MOST_LAYERS}")
            return tuple(cls._one(part, prompt) for part in parts)

    @classmethod
    def _one(cls, part: str, prompt: str) -> Layer:
        found = _LEVEL.fullmatch(part)
        text, level = (found[1], float(found[2])) if found else (part, 0.0)
        if not text:
            raise UsageError(f"prompt is {prompt!r}, with an empty layer; put a sound on both sides of each +")
        if not LOWEST_DB <= level <= HIGHEST_DB:
            raise UsageError(f"prompt has a layer at {level:g} dB; use {LOWEST_DB:g} to {HIGHEST_DB:g} dB")
        return cls(text, level)
