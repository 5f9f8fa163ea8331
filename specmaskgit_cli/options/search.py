"""The options of a search."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from .fields import Options, option
from .kinds import Flag, SoundFile, Text, Whole


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """What to find among sounds: what a text says, or what resembles a sound.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named; neither or both of the two.
    """

    prompt: str | None = option(None, Text(), "What to find.", metavar="TEXT")
    like: str | None = option(None, SoundFile(), "Find what resembles this sound, instead of a text.", metavar="FILE")
    num: int = option(10, Whole(1, 10_000), "Sounds to list, the best first.", "--num", "-n")
    places: bool = option(False, Flag(), "List all places of long recordings, instead of the best of each.")

    def __post_init__(self):
        super().__post_init__()
        if (self.prompt is None) == (self.like is None):
            raise UsageError("a search needs a text or a sound to resemble, and not both")
