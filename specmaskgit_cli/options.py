"""The options of a task, checked once for the command line, the Python API and the metadata of a file alike."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from .bounds import check_result
from .checks import check_flag, check_number, check_path, check_text
from .errors import UsageError

STEPS, GUIDANCE = 2, 2.0  # unless told otherwise
VARIETY = 0.2  # of the styles drawn, likewise
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
    "variety": (0, 1, True),
}
EDIT_RANGES = {
    "amount": (0, 1, True),
    "cutoff": (500, 1e6, True),
    "join": (0.1, 8, True),
}
OUTPUT_RANGES = {
    "lufs": (-50, -5, True),
    "rate": (8000, 192000, True),
    "channels": (1, 2, True),
}
MAY_BE_NONE = ("seed", "cutoff")
TEXTS = ("prompt", "negative")
PATHS = ("input", "like")
FLAGS = ("loop", "before", "loudness_only")
ORDERS = ("confidence", "halton", "random", "raster")
BITS = ("16", "24", "32f")


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How tokens are drawn; what the options of all tasks have in common.

    Attributes:
        seed: of the first sound, the next has seed + 1 and so on; None draws one.
        num: sounds to make.
        steps: decoding steps.
        guidance: how closely to follow the condition; 0 is faster and freer.
        temperature: of the sampling; above 1 more varied, below 1 safer.
        top_p: share of the probability to sample from; 1 is all of it.
        order: in which positions are decided: "confidence", "halton", "random" or "raster".

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    seed: int | None = None
    num: int = 1
    steps: int = STEPS
    guidance: float = GUIDANCE
    temperature: float = 1.0
    top_p: float = 1.0
    order: str = "confidence"

    def __post_init__(self):
        for name, limits in (RANGES | EDIT_RANGES).items():
            if name in self.__dataclass_fields__:
                value = getattr(self, name)
                if not (name in MAY_BE_NONE and value is None):
                    check_number(name, value, *limits)
        if self.order not in ORDERS:
            raise UsageError(f"order is {self.order!r}; use {', '.join(ORDERS)}")
        for names, check in ((TEXTS, check_text), (PATHS, check_path), (FLAGS, check_flag)):
            for name in names:
                if name in self.__dataclass_fields__:
                    object.__setattr__(self, name, check(name, getattr(self, name)))
        if self.seed is not None and self.seed + self.num - 1 > RANGES["seed"][1]:
            raise UsageError(f"seed is {self.seed}, too high for {self.num} sounds; use a lower one")

    def to_dict(self) -> dict:
        """All options as plain JSON types, for metadata and reports."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class GenerateOptions(SamplingOptions):
    """What to generate; the sampling as in SamplingOptions.

    Attributes:
        prompt: the text; may be None if `like` is given.
        seconds: length of the sound; longer than the model's window is made in overlapping windows.
        negative: text to steer away from.
        like: a sound file to resemble, instead of or together with the prompt.
        like_weight: share of `like` in the condition when there is a prompt too.
        candidates: sounds to make for each one kept, which is the one that fits the prompt best.
        loop: make the end run into the beginning.
        variety: how much sounds of a prompt differ: from 0, all of the typical style, to 1, each of a known sound's.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    prompt: str | None = None
    seconds: float = 10.0
    negative: str | None = None
    like: str | None = None
    like_weight: float = 0.5
    candidates: int = 1
    loop: bool = False
    variety: float = VARIETY

    def __post_init__(self):
        super().__post_init__()
        if self.prompt is None and self.like is None:
            raise UsageError("nothing to make: give a prompt, or a sound with like")


@dataclass(frozen=True)
class EditOptions(SamplingOptions):
    """What all edits have in common; the sampling as in SamplingOptions.

    Attributes:
        input: the sound file to edit; it is only read.
        prompt: what the new part should be; None goes by the sound that stays.
        negative: text to steer away from.
    """

    input: str
    prompt: str | None = field(default=None, kw_only=True)
    negative: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Box:
    """A part of a sound to make anew: seconds, and Hz or None for the whole spectrum on that side.

    Raises:
        UsageError: not a span of time, or not a band.
    """

    start: float
    end: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self):
        for name in ("start", "end", "low", "high"):
            value = getattr(self, name)
            if not (value is None and name in ("low", "high")):
                check_number(name, value, 0, 1e6, True)
        if self.end <= self.start:
            raise UsageError(f"the span from {self.start:g} to {self.end:g} s ends before it begins; swap them")
        if self.high is not None and self.high <= (self.low or 0):
            raise UsageError(f"the band from {self.low or 0:g} to {self.high:g} Hz ends before it begins; swap them")


@dataclass(frozen=True)
class InpaintOptions(EditOptions):
    """Make boxes of time and frequency anew. Attributes beside those of EditOptions: `boxes`, at least one.

    Without guidance: what is on both sides says more of a gap than any condition.
    """

    boxes: tuple[Box, ...]
    guidance: float = field(default=0.0, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if not self.boxes:
            raise UsageError("nothing to inpaint: give a start and an end, or a box")
        if not isinstance(self.boxes, (tuple, list)) or not all(isinstance(box, Box) for box in self.boxes):
            raise UsageError(f"boxes is {self.boxes!r}; give each as a Box")


@dataclass(frozen=True)
class ExtendOptions(EditOptions):
    """Add the high frequencies that a sound lacks. `cutoff`: where it ends in Hz; None finds it.

    Without guidance: the band below says more of the one above than any condition. And cool: near the likeliest is
    nearer to the true band than what might have been.
    """

    cutoff: float | None = None
    guidance: float = field(default=0.0, kw_only=True)
    temperature: float = field(default=0.3, kw_only=True)
    top_p: float = field(default=0.5, kw_only=True)


@dataclass(frozen=True)
class ContinueOptions(EditOptions):
    """Go on after the end of a sound, or lead up to its beginning where `before`; `seconds`: of new sound."""

    seconds: float = 5.0
    before: bool = False


@dataclass(frozen=True)
class VaryOptions(EditOptions):
    """Make siblings of a sound. `amount`: share of its tokens to draw anew; 0 is the sound itself, vocoded."""

    amount: float = 0.5


@dataclass(frozen=True)
class SketchOptions(EditOptions):
    """Make what the prompt says in the contour of a sound. `loudness_only`: not in how bright it is, too."""

    loudness_only: bool = False


@dataclass(frozen=True)
class LoopOptions(EditOptions):
    """Make the end of a sound run into its beginning. `join`: seconds before the end that are made anew for that."""

    join: float = 1.0
    guidance: float = field(default=0.0, kw_only=True)


# The tasks by the names they have on the command line and in the metadata of files.
TASKS: dict[str, type[SamplingOptions]] = {
    "generate": GenerateOptions,
    "inpaint": InpaintOptions,
    "extend": ExtendOptions,
    "continue": ContinueOptions,
    "vary": VaryOptions,
    "sketch": SketchOptions,
    "loop": LoopOptions,
}


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How a sound is finished and stored.

    Attributes:
        normalize: a generated sound gets its peak at -1 dBFS; else it keeps the level the model gave it.
        lufs: integrated loudness to bring the sound to, as far as a true peak of -1 dBTP lets it; None does not.
        trim: cut the silence at both ends.
        bits: "16", "24" or "32f" for samples as floats; None: 16, or as in the file that was edited.
        rate: samples a second; None keeps the rate.
        channels: 1 mixes to mono, 2 doubles a mono sound; None keeps them.
        metadata: store in the file how it was made.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    normalize: bool = True
    lufs: float | None = None
    trim: bool = False
    bits: str | None = None
    rate: int | None = None
    channels: int | None = None
    metadata: bool = True

    def __post_init__(self):
        for name, limits in OUTPUT_RANGES.items():
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), *limits)
        for name in ("normalize", "trim", "metadata"):
            check_flag(name, getattr(self, name))
        if self.bits is not None and self.bits not in BITS:
            raise UsageError(f"bits is {self.bits!r}; use {', '.join(BITS)}")
        if self.lufs is not None and not self.normalize:
            raise UsageError("lufs sets the level that no-normalize would leave alone; give one of them")

    def check(self, options: SamplingOptions) -> None:
        """Raise UsageError where the sound of a task cannot be finished so, as far as that can be told before."""
        if self.rate is not None and isinstance(options, GenerateOptions):
            check_result(options.seconds, self.rate, self.channels or 1)
        if self.trim and (isinstance(options, LoopOptions) or getattr(options, "loop", False)):
            raise UsageError("a loop that is trimmed no longer closes; leave out --trim or --loop")

    def to_dict(self) -> dict:
        """All options as plain JSON types."""
        return dataclasses.asdict(self)
