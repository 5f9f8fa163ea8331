"""The options of each task; what a class says of itself is the help of its command.

They lie here and not beside the code of the tasks, which takes half a second to import: help pages need them too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import UsageError, at_fault
from .base import EditOptions, SamplingOptions
from .box import Box, Boxes
from .fields import option
from .kinds import Flag, Number, SoundFile, Text, Whole
from .layers import MOST_LAYERS, Layer
from .timing import LONGEST, SHORTEST, TAIL_SECONDS, Levels, Times

VARIETY = 0.2  # by default
SECONDS = 10.0  # of a sound of which nothing says how long it is
LONGEST_STREAM = 6 * 3600  # seconds; in stereo at 48 kHz that just fits into a WAV file


@dataclass(frozen=True, kw_only=True)
class NewSoundOptions(SamplingOptions):
    """The options of tasks whose result is all new, and has as many channels as are asked for."""

    channels: int = option(1, Whole(1, 2), "Channels: 2 is stereo, whose mean is the sound in mono.", metavar="1|2")
    width: float = option(
        0.6, Number(0, 1), "Of --channels 2: how far texture such as rain surrounds; 0 is the same in both channels."
    )


@dataclass(frozen=True)
class GenerateOptions(NewSoundOptions):
    """Make a sound from a text.

    Example: smg generate "dog barking" -o out.wav
    """

    reads = "like"
    without = ("channels",)

    prompt: str | None = option(None, Text(), "What to hear; - reads a prompt a line from stdin.", metavar="PROMPT")
    seconds: float = option(
        None, Number(SHORTEST, LONGEST),
        "Length of the sound, in seconds; 10 if not given, or what --at and --envelope need.",
        "--seconds", "-s",
    )  # fmt: skip
    at: tuple[float, ...] | None = option(
        None, Times(), "Times of the events of the sound, in seconds or m:ss, such as 0.5,1.8,2.05.", metavar="TIMES"
    )
    envelope: tuple[tuple[float, float], ...] | None = option(
        None, Levels(), "Loudness over time: levels from 0 to 1, or such as -12dB.", metavar="TIME:LEVEL,..."
    )
    stems: bool = option(False, Flag(), "Also write each layer of a scene such as 'rain + crows' to a file.")
    layer: int | None = option(None, Whole(1, MOST_LAYERS), "Only this layer of a scene, as it is in the mix.")
    like: str | None = option(None, SoundFile(), "A sound to resemble.", metavar="FILE")
    like_weight: float = option(0.5, Number(0, 1), "Share of --like when there is a prompt too.")
    candidates: int = option(1, Whole(1, 64), "Sounds to make for each one kept, the best match.")
    loop: bool = option(False, Flag(), "Make the end run into the beginning.")
    variety: float = option(
        VARIETY, Number(0, 1), "How much sounds of a prompt differ: 0, the most typical, to 1, as known sounds do."
    )

    def __post_init__(self):
        super().__post_init__()
        if self.prompt is None and self.like is None:
            raise UsageError("nothing to make: give a prompt, or a sound with like")
        self._check_layers()
        if self.seconds is None:
            object.__setattr__(self, "seconds", self._long_enough())
        if self.at and self.at[-1] >= self.seconds:
            last, end = self.at[-1], self.seconds
            with at_fault("at"):
                raise UsageError(f"at has an event at {last:g} s, and the sound lasts {end:g} s; make it longer")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The sounds that the prompt is made of, one for most."""
        return () if self.prompt is None else Layer.parse(self.prompt)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(layer.text for layer in self.layers)

    @property
    def stems_apart(self) -> bool:
        return self.stems

    @property
    def sounds(self) -> int:
        """With the layers that are held to be mixed."""
        count = len(self.layers)
        return self.num * (1 + count) if self.stems else self.num + (count if count > 1 else 0)

    def _check_layers(self) -> None:
        count = max(1, len(self.layers))
        if self.layer is not None and (self.layer > count or self.stems):
            what = "stems writes all layers; leave out one of them" if self.stems else f"the prompt has {count}"
            with at_fault("layer"):
                raise UsageError(f"layer is {self.layer}, and {what}")
        if count == 1:
            if self.stems:
                with at_fault("stems"):
                    raise UsageError('stems are the layers of a scene; give several, such as "rain + crows"')
            return
        for name in ("at", "envelope", "like"):
            if getattr(self, name):
                with at_fault(name):
                    raise UsageError(f"{name} is for a single sound, and the prompt has {count}; make them one by one")

    def _long_enough(self) -> float:
        """The length of the sound where it is left open, in seconds."""
        last_event = self.at[-1] + TAIL_SECONDS if self.at else 0.0
        last_point = self.envelope[-1][0] if self.envelope else 0.0
        return min(max(last_event, last_point, SHORTEST), LONGEST) if last_event or last_point else SECONDS

    @property
    def loops(self) -> bool:
        return self.loop


@dataclass(frozen=True)
class StreamOptions(NewSoundOptions):
    """Make sound that goes on until it is stopped, and play it, or with -o write it.

    Example: smg stream "wind in a forest"
    """

    prompt: str = option(..., Text(), "What to hear.", metavar="PROMPT")
    seconds: float | None = option(
        None, Number(SHORTEST, LONGEST_STREAM), "Seconds after which it ends; Ctrl-C ends it if not given.",
        "--seconds", "-s",
    )  # fmt: skip
    variety: float = option(
        VARIETY, Number(0, 1), "How much it changes: 0, the most typical sound, to 1, as known sounds differ."
    )

    def __post_init__(self):
        super().__post_init__()
        if self.num != 1:
            with at_fault("num"):
                raise UsageError(f"num is {self.num}, and a stream is one sound; leave it out")


@dataclass(frozen=True)
class InpaintOptions(EditOptions):
    """Make a span of time, a band of frequencies, or a box of both anew; the rest stays as it is.

    Example: smg inpaint in.wav --start 1.2 --end 1.6 -o out.wav
    """

    boxes: tuple[Box, ...] = option(
        ..., Boxes(), "A part in one word, or with m:ss as 1:30-1:32.5. Repeatable.", "--box",
        metavar="START:END[:LOW:HIGH]",
    )  # fmt: skip
    # What is on both sides of a gap says more of it than any condition.
    guidance: float = field(default=0.0, kw_only=True)

    def new_parts(self, seconds: float) -> tuple[Box, ...]:
        return tuple(box.within(seconds) for box in self.boxes)


@dataclass(frozen=True)
class ExtendOptions(EditOptions):
    """Add the high frequencies that a sound lacks, up to the highest the model makes; what it has stays.

    Where nothing is missing, nothing is written. Example: smg extend phone.wav -o full.wav
    """

    cutoff: float | None = option(
        None, Number(500, 1_000_000), "Where the sound ends in Hz; found if not given.", metavar="HZ"
    )
    # The band below says more of the one above than any condition, and the likeliest is nearest to the true band.
    guidance: float = field(default=0.0, kw_only=True)
    temperature: float = field(default=0.3, kw_only=True)
    top_p: float = field(default=0.5, kw_only=True)

    def new_parts(self, seconds: float) -> tuple[Box, ...]:
        return () if self.cutoff is None else (Box(0.0, seconds, self.cutoff),)


@dataclass(frozen=True)
class ContinueOptions(EditOptions):
    """Let a sound go on after its end, or begin earlier; the sound itself stays as it is.

    Example: smg continue rain.wav --seconds 20 -o longer.wav
    """

    seconds: float = option(5.0, Number(SHORTEST, LONGEST), "Length of the new part, in seconds.", "--seconds", "-s")
    before: bool = option(False, Flag(), "Lead up to the beginning instead.")

    def new_parts(self, seconds: float) -> tuple[Box, ...]:
        new = min(self.seconds, seconds)
        return (Box(0.0, new) if self.before else Box(seconds - new, seconds),)


@dataclass(frozen=True)
class VaryOptions(EditOptions):
    """Make siblings of a sound, such as ten footsteps from one.

    Example: smg vary step.wav --amount 0.4 -n 10 -o steps.wav
    """

    without = ("normalize",)

    amount: float = option(
        0.5, Number(0, 1), "How much to draw anew: 0 is the sound itself, vocoded; 1 is new.", "--amount", "-a"
    )


@dataclass(frozen=True)
class SketchOptions(EditOptions, NewSoundOptions):
    """Make what a text says in the contour of a sound: hum it, or tap it on a table.

    The result is as long as the sketch and as loud and bright, moment by moment; nothing else of the sketch is heard.

    Example: smg sketch taps.wav --prompt "dog barking" -o barks.wav
    """

    without = ("normalize", "channels")

    prompt: str | None = option(None, Text(), "What to hear.", metavar="TEXT", keyword=True)
    loudness_only: bool = option(False, Flag(), "Follow when it is loud, not when it is bright: for taps and claps.")


@dataclass(frozen=True)
class LoopOptions(EditOptions):
    """Make a seamless loop of a sound, as long as it was.

    Example: smg loop wind.wav -o loop.wav
    """

    join: float = option(1.0, Number(0.1, 8), "Seconds before the end to make anew.")
    guidance: float = field(default=0.0, kw_only=True)  # as in InpaintOptions

    def new_parts(self, seconds: float) -> tuple[Box, ...]:
        return (Box(seconds - min(self.join, seconds / 3), seconds),)

    @property
    def loops(self) -> bool:
        return True
