"""When a sound is to happen, and how loud it is to be: the kinds of options that say so, and how people write them."""

from __future__ import annotations

import re

from ..errors import UsageError
from .kinds import Kind, Number, Time

SHORTEST, LONGEST = 0.2, 3600  # seconds of a new sound
MOST = 300  # times or points
TAIL_SECONDS = 2.0  # of a sound after its last event, where its length is left open
_DECIBELS = re.compile(r"\s*([+-]?[0-9.]+)\s*dB\s*", re.IGNORECASE)


class _Amplitude(Number):
    """A level, 1 the loudest; as text also in decibels below it."""

    what = "a level, such as 0.5 or -12dB,"

    def read(self, value):
        if not isinstance(value, str) or not (found := _DECIBELS.fullmatch(value)):
            return super().read(value)
        decibels = super().read(found[1])
        return 10 ** (decibels / 20) if isinstance(decibels, float) and decibels <= 0 else value


_TIME, _AMPLITUDE = Time(0, LONGEST), _Amplitude(0, 1)


class Times(Kind):
    """One position in a sound or more, in their order; as text with commas between them."""

    allowed = "times in seconds or m:ss with commas between them, such as 0.5,1.8,2.05"

    @property
    def schema(self):
        return {"type": ["string", "number", "array"], "items": _TIME.schema, "minItems": 1, "maxItems": MOST}

    def check(self, name: str, value):
        values = self.read(value) if isinstance(value, str) else [value] if isinstance(value, (int, float)) else value
        if not isinstance(values, (tuple, list)) or not values:
            raise UsageError(f"{name} is {value!r}; give {self.allowed}")
        _check_count(name, len(values), "times")
        return tuple(sorted({float(_TIME.check(name, each)) for each in values}))

    def read(self, value):
        return tuple(_TIME.read(each) for each in value.split(",")) if isinstance(value, str) else value


class Levels(Kind):
    """Levels over time: one pair or more of a time and an amplitude from 0 to 1; as text TIME:LEVEL with commas."""

    allowed = "TIME:LEVEL with commas between them, such as 0:0,0.1:1,2.5:-12dB, levels from 0 to 1 or in dB up to 0dB"

    @property
    def schema(self):
        point = {"type": "array", "prefixItems": [_TIME.schema, _AMPLITUDE.schema], "minItems": 2, "maxItems": 2}
        return {"type": ["string", "array"], "items": point, "minItems": 1, "maxItems": MOST}

    def check(self, name: str, value):
        points = self.read(value) if isinstance(value, str) else value
        pairs = isinstance(points, (tuple, list)) and all(isinstance(p, (tuple, list)) and len(p) == 2 for p in points)
        if not pairs or not points:
            raise UsageError(f"{name} is {value!r}; give {self.allowed}")
        _check_count(name, len(points), "points")
        checked = [(_TIME.check(name, time), _AMPLITUDE.check(name, level)) for time, level in points]
        if not any(level > 0 for _, level in checked):
            raise UsageError(f"{name} is silent at all of its points; give one a level above 0")
        return tuple((float(time), float(level)) for time, level in sorted(checked, key=lambda point: point[0]))

    def read(self, value):
        """Pairs; the last colon of a point is the one before its level, as times may have colons too."""
        if not isinstance(value, str) or not all(":" in point for point in value.split(",")):
            return value
        points = [point.rpartition(":")[::2] for point in value.split(",")]
        return tuple((_TIME.read(time), _AMPLITUDE.read(level)) for time, level in points)


def _check_count(name: str, count: int, what: str) -> None:
    if count > MOST:
        raise UsageError(f"{name} has {count} {what}; use up to {MOST}")
