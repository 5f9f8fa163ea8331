"""The options that tasks have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

from ..decoding.settings import GUIDANCE, ORDERS, STEPS, DecodeSettings
from ..errors import UsageError
from .box import Box
from .fields import SAMPLING, Options, option
from .kinds import Choice, Number, SoundFile, Text, Whole

MAX_SEED = 2**32 - 1

_sampling = partial(option, group=SAMPLING)


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(Options):
    """What to make, and how its tokens are drawn: the options of all tasks.

    Attributes:
        reads: the option that names a sound file.
        without: names of the output options that are not for it.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    reads: ClassVar[str]
    without: ClassVar[tuple[str, ...]] = ()

    prompt: str | None = option(
        None, Text(), "What the new part should be; by default what fits the sound.", metavar="TEXT"
    )
    negative: str | None = option(None, Text(), "What not to hear.", metavar="TEXT")
    seed: int | None = _sampling(None, Whole(0, MAX_SEED), "Same seed, same sound; drawn if not given.")
    num: int = _sampling(1, Whole(1, 1000), "Sounds to make, with seeds counting up.", "--num", "-n")
    steps: int = _sampling(STEPS, Whole(1, 256), "Decoding steps.")
    guidance: float = _sampling(GUIDANCE, Number(0, 30), "How closely to follow the prompt; 0 is fastest.")
    temperature: float = _sampling(
        1.0, Number(0, 5, above=True), "Randomness of the codes drawn: above 1 more varied, below 1 safer."
    )
    top_p: float = _sampling(
        1.0, Number(0, 1, above=True), "Draw among the likeliest codes, with this share of the probability; 1 is all."
    )
    order: str = _sampling("confidence", Choice(*ORDERS), "Which positions are decided first.")

    def __post_init__(self):
        super().__post_init__()
        if self.seed is not None and self.seed + self.num - 1 > MAX_SEED:
            raise UsageError(f"seed is {self.seed}, too high for {self.num} sounds; use a lower one")

    @property
    def decode_settings(self) -> DecodeSettings:
        """The settings of the decoding core that these options stand for."""
        return DecodeSettings(self.steps, self.guidance, self.temperature, self.top_p, order=self.order)

    @property
    def texts(self) -> tuple[str, ...]:
        """What to hear: the prompt, or of a scene what its layers are."""
        return () if self.prompt is None else (self.prompt,)

    @property
    def stems_apart(self) -> bool:
        """Whether each sound is followed by its layers."""
        return False

    @property
    def sounds(self) -> int:
        """How many sounds are made."""
        return self.num

    @property
    def loops(self) -> bool:
        """Whether the end of the sound is to run into its beginning."""
        return False

    @property
    def source(self) -> str | None:
        """The path of the sound file that it reads."""
        return getattr(self, self.reads)

    def with_source(self, path: str | None) -> Self:
        """The same of another sound file."""
        changed: dict[str, Any] = {self.reads: path}
        return replace(self, **changed)

    def new_parts(self, seconds: float) -> tuple[Box, ...]:
        """Boxes around what is new in a result that lasts `seconds`; none if it is all new, or nothing says what is."""
        return ()


@dataclass(frozen=True)
class EditOptions(SamplingOptions):
    """The options of all edits: those of all tasks, and the sound file to edit, which is only read."""

    reads = "input"
    without: ClassVar[tuple[str, ...]] = ("normalize", "trim")

    input: str = option(..., SoundFile(), "Sound files to edit; they are only read.", metavar="IN")
