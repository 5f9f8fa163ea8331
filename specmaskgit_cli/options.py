"""The options of a task, checked once for the command line, the Python API and the metadata of a file alike."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass

from .errors import UsageError

# Lowest and highest value, and whether the lowest itself is allowed.
RANGES = {
    "seconds": (0.2, 3600, True),
    "seed": (0, 2**32 - 1, True),
    "num": (1, 1000, True),
    "steps": (1, 256, True),
    "guidance": (0, 30, True),
    "temperature": (0, 5, False),
    "top_p": (0, 1, False),
    "like_weight": (0, 1, True),
    "candidates": (1, 64, True),
}
WHOLE = ("seed", "num", "steps", "candidates")
ORDERS = ("confidence", "halton", "random")


@dataclass(frozen=True)
class GenerateOptions:
    """What to generate.

    Attributes:
        prompt: the text; may be None if `like` is given.
        seconds: length of the sound; longer than the model's window is made in overlapping windows.
        seed: of the first sound, the next has seed + 1 and so on; None draws one.
        num: sounds to make.
        steps: decoding steps.
        guidance: how closely to follow the condition; 0 is faster and freer.
        temperature: of the sampling; above 1 more varied, below 1 safer.
        top_p: share of the probability to sample from; 1 is all of it.
        order: in which positions are decided: "confidence", "halton" or "random".
        negative: text to steer away from.
        like: a sound file to resemble, instead of or together with the prompt.
        like_weight: share of `like` in the condition when there is a prompt too.
        candidates: sounds to make for each one kept, which is the one that fits the prompt best.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    prompt: str | None = None
    seconds: float = 10.0
    seed: int | None = None
    num: int = 1
    steps: int = 16
    guidance: float = 3.0
    temperature: float = 1.0
    top_p: float = 1.0
    order: str = "confidence"
    negative: str | None = None
    like: str | None = None
    like_weight: float = 0.5
    candidates: int = 1

    def __post_init__(self):
        for name, (low, high, inclusive) in RANGES.items():
            value = getattr(self, name)
            if not (name == "seed" and value is None):
                _check_number(name, value, low, high, inclusive)
        if self.order not in ORDERS:
            raise UsageError(f"order is {self.order!r}; use {', '.join(ORDERS)}")
        for name in ("prompt", "negative"):
            object.__setattr__(self, name, _check_text(name, getattr(self, name)))
        if isinstance(self.like, os.PathLike):
            object.__setattr__(self, "like", os.fspath(self.like))
        if self.like is not None and not (isinstance(self.like, str) and self.like):
            raise UsageError(f"like is {self.like!r}; name a sound file")
        if self.prompt is None and self.like is None:
            raise UsageError("nothing to make: give a prompt, or a sound with like")
        if self.seed is not None and self.seed + self.num - 1 > RANGES["seed"][1]:
            raise UsageError(f"seed is {self.seed}, too high for {self.num} sounds; use a lower one")

    def to_dict(self) -> dict:
        """All options as plain JSON types, for metadata and reports."""
        return dataclasses.asdict(self)


def _check_number(name: str, value, low: float, high: float, inclusive: bool) -> None:
    kinds = int if name in WHOLE else (int, float)
    # NaN fails every comparison, so it is refused with the rest.
    if isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high and (inclusive or value > low):
        return
    kind = "a whole number" if name in WHOLE else "a number"
    bounds = f"from {low} to {high}" if inclusive else f"above {low}, up to {high}"
    raise UsageError(f"{name} is {_shown(value)}; use {kind} {bounds}")


def _shown(value) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return str(value) if isinstance(value, (int, float)) else repr(value)


def _check_text(name: str, value) -> str | None:
    """The text without blanks around it."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}; give it as text")
    if not (text := value.strip()):
        raise UsageError(f'{name} is empty; describe a sound, such as "dog barking"')
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not valid UTF-8 text; check the encoding of the terminal") from None
    return text
