"""Boxes of time and frequency: the type, how they are written, and the kind of option that takes several."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..errors import UsageError
from .fields import Options, option
from .kinds import Kind, Number, Time
from .schema import schema_of

ROUNDING_SECONDS = 0.01  # by which an end may lie beyond the sound, as people read lengths in few digits
LONGEST, HIGHEST = 1_000_000, 1_000_000  # seconds, Hz
_DASH = re.compile(r"(?<=[^eE])-")  # neither that of an exponent nor a sign
_TWO_TIMES = re.compile(r"[0-9]+:[0-5][0-9]:[0-9]+:[0-5][0-9]")  # 1:30:2:00 has 2 as its lowest frequency


@dataclass(frozen=True)
class Box(Options):
    """A part of a sound: a span of time, and a band of frequencies or, where low and high are None, all of them.

    Raises:
        UsageError: not a span of time, or not a band.
    """

    start: float = option(
        0.0, Time(0, LONGEST), "Where the part begins: seconds, m:ss or h:mm:ss; 0 if not given.",
        metavar="TIME",
    )  # fmt: skip
    end: float | None = option(
        None, Time(0, LONGEST), "Where it ends, in the same way; the end of the sound if not given.", metavar="TIME"
    )
    low: float | None = option(None, Number(0, HIGHEST), "Its lowest frequency; all if not given.", metavar="HZ")
    high: float | None = option(None, Number(0, HIGHEST), "Its highest frequency; all if not given.", metavar="HZ")

    def __post_init__(self):
        super().__post_init__()
        if self.low == 0:
            object.__setattr__(self, "low", None)
        if self.end is not None and self.end <= self.start:
            raise UsageError(f"the span from {self.start:g} to {self.end:g} s ends before it begins; swap them")
        if self.high is not None and self.high <= (self.low or 0):
            raise UsageError(f"the band from {self.low or 0:g} to {self.high:g} Hz ends before it begins; swap them")

    @classmethod
    def parse(cls, text: str, name: str = "box") -> Box:
        """A box as people write it, such as "1.2:1.6:500:3000" or "1:30-1:32.5"; all but one of its times may be blank.

        Raises:
            UsageError: it is not of this form, or no box. `name`: what the message calls it.
        """
        if _TWO_TIMES.fullmatch(text.strip()):
            raise UsageError(f"{name} is {text!r}, which may be two times; write - for each : that is not within one")
        parts = _DASH.split(text) if _DASH.search(text) else text.split(":")
        values = [Time(0, LONGEST).read(part) if part.strip() else None for part in parts]
        if len(parts) not in (2, 4) or values[:2] == [None, None] or any(isinstance(value, str) for value in values):
            raise UsageError(f"{name} is {text!r}; write START:END or START:END:LOW:HIGH in seconds and Hz")
        start, *others = values
        return cls(start or 0.0, *others)

    def within(self, seconds: float) -> Box:
        """The box in a sound that lasts `seconds`: with its end there, if it has none or one that is hardly beyond.

        Raises:
            UsageError: it begins where the sound has ended.
        """
        if self.end is not None and not seconds < self.end < seconds + ROUNDING_SECONDS:
            return self
        if self.start >= seconds:
            raise UsageError(f"the span from {self.start:g} s begins after the sound, which lasts {seconds:.6g} s")
        return replace(self, end=seconds)


class Boxes(Kind):
    """One Box or more; as text with ; between them."""

    allowed = "boxes of `start`, `end`, `low`, `high`; in a table START:END[:LOW:HIGH] with ; between them"

    @property
    def schema(self):
        return {"type": "array", "minItems": 1, "items": schema_of(Box)}

    def check(self, name: str, value):
        if not value:
            raise UsageError("nothing to inpaint: give a start and an end, or a box")
        if not isinstance(value, (tuple, list)) or not all(isinstance(box, Box) for box in value):
            raise UsageError(f"{name} is {value!r}; give each as a Box")
        return tuple(value)

    def read(self, value):
        return tuple(Box.parse(text, "boxes") for text in str(value).split(";"))
