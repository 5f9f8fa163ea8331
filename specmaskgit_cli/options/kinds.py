"""The kinds of values that options take: what each accepts, how it is read from text, and what is said of a wrong one.

`check(name, value)` returns the value as it is stored, or raises UsageError with the option, the value and what to use.
`read(value)` makes of a cell of a table, or of a word of the command line, what `check` takes; what it cannot read it
returns as it is, for `check` to refuse.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any

from ..bounds import MAX_TEXT
from ..errors import UsageError

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_CLOCK = re.compile(r"(?:([0-9]+):(?=[0-9]{2}:))?([0-9]+):([0-9]{2}(?:\.[0-9]*)?)")  # h:mm:ss.s or m:ss.s


class Kind:
    """Values as they are.

    Attributes:
        type: what a word of the command line becomes before `read` sees it.
        allowed: the values in words, such as "0 to 30".
        schema: the values as JSON Schema.
    """

    type: Any = str
    allowed: str = "text"

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def check(self, name: str, value):
        return value

    def read(self, value):
        return value


class Number(Kind):
    """A finite number from `low` to `high`; `above`: not `low` itself."""

    type: Any = float
    what = "a number"
    types: tuple = (int, float)
    json_type = "number"

    def __init__(self, low: float, high: float, above: bool = False):
        self.low, self.high, self.above = low, high, above
        self.allowed = f"above {low}, up to {high}" if above else f"{low} to {high}"

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "type": self.json_type, "exclusiveMinimum" if self.above else "minimum": self.low, "maximum": self.high
        }  # fmt: skip

    def check(self, name: str, value):
        # NaN fails every comparison, so it is refused with the rest.
        right = isinstance(value, self.types) and not isinstance(value, bool) and self.low <= value <= self.high
        if not right or (self.above and value == self.low):
            bounds = self.allowed if self.above else f"from {self.allowed}"
            raise UsageError(f"{name} is {_shown(value)}; use {self.what} {bounds}")
        return value

    def read(self, value):
        try:
            return float(value) if isinstance(value, str) else value
        except ValueError:
            return value


class Whole(Number):
    """A whole number."""

    type = int
    what = "a whole number"
    types = (int,)
    json_type = "integer"

    def read(self, value):
        number = super().read(value)
        if number is value or not number.is_integer():
            return number
        # Spreadsheets write whole numbers as 3.0 too; and large ones lose digits on their way through a float.
        return int(value) if value.strip().lstrip("+-").isdecimal() else int(number)


class Time(Number):
    """A position in a sound: a number of seconds, or text as m:ss or h:mm:ss."""

    type = str
    what = "seconds, m:ss or h:mm:ss,"

    def read(self, value):
        if not isinstance(value, str) or not (found := _CLOCK.fullmatch(value.strip())):
            return super().read(value)
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return value if seconds >= 60 or (hours and minutes >= 60) else 3600 * hours + 60 * minutes + seconds


class Text(Kind):
    """A text to hear or to avoid, without the blanks around it."""

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": MAX_TEXT}

    def check(self, name: str, value):
        if not isinstance(value, str):
            raise UsageError(f"{name} is {value!r}; give it as text")
        if not (text := value.strip()):
            raise UsageError(f'{name} is empty; describe a sound, such as "dog barking"')
        if len(text) > MAX_TEXT:
            raise UsageError(f"{name} has {len(text)} characters; use up to {MAX_TEXT}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"{name} is not valid UTF-8 text; check the encoding of the terminal") from None
        return text


class SoundFile(Kind):
    """The path of a sound file."""

    allowed = "a sound file"

    def check(self, name: str, value):
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not (isinstance(value, str) and value):
            raise UsageError(f"{name} is {value!r}; name a sound file")
        return value


class Flag(Kind):
    """True or False."""

    type = bool
    allowed = "true, false"

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def check(self, name: str, value):
        if not isinstance(value, bool):
            raise UsageError(f"{name} is {value!r}; use true or false")
        return value

    def read(self, value):
        return _BOOLEANS.get(value.strip().lower(), value) if isinstance(value, str) else value


class Choice(Kind):
    """One of some words."""

    def __init__(self, *words: str):
        self.words, self.allowed = words, ", ".join(words)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}

    def check(self, name: str, value):
        if value not in self.words:
            raise UsageError(f"{name} is {value!r}; use {self.allowed}")
        return value

    def read(self, value):
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _shown(value) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return str(value) if isinstance(value, (int, float)) else repr(value)
