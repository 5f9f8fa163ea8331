"""Checks of single values of options. All raise UsageError with the name of the option, the value and what to use."""

from __future__ import annotations

import math
import os

from ..errors import UsageError

WHOLE = ("seed", "num", "steps", "candidates", "rate", "channels")


def check_number(name: str, value, low: float, high: float, inclusive: bool) -> None:
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


def check_path(name: str, value) -> str | None:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not (isinstance(value, str) and value or value is None and name == "like"):
        raise UsageError(f"{name} is {value!r}; name a sound file")
    return value


def check_flag(name: str, value) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; use True or False")
    return value


def check_text(name: str, value) -> str | None:
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
