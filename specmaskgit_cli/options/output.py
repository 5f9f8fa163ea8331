"""How a sound is finished and stored: the options that all tasks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..bounds import check_result
from ..errors import UsageError
from .base import SamplingOptions
from .fields import OUTPUT, Options, option
from .kinds import Choice, Flag, Number, Whole
from .tasks import GenerateOptions

_output = partial(option, group=OUTPUT)


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """How a sound is finished and stored.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    normalize: bool = _output(
        True, Flag(), "Keep the level the model gave it, instead of a peak at -1 dBFS.", "--no-normalize"
    )
    lufs: float | None = _output(
        None, Number(-50, -5), "Loudness to bring it to, such as -16; peaks are limited to -1 dBTP.", metavar="LUFS"
    )
    trim: bool = _output(False, Flag(), "Cut the silence at both ends.")
    bits: str | None = _output(
        None, Choice("16", "24", "32f"), "How to store samples in WAV and FLAC.", metavar="16|24|32f"
    )
    rate: int | None = _output(None, Whole(8000, 192_000), "Resample, such as to 44100 or 48000.", metavar="HZ")
    channels: int | None = _output(None, Whole(1, 2), "Mix to mono, or give both channels the same.", metavar="1|2")
    metadata: bool = _output(True, Flag(), "Do not store in the file how it was made.", "--no-metadata")

    def __post_init__(self):
        super().__post_init__()
        if self.lufs is not None and not self.normalize:
            raise UsageError("lufs sets the level that no-normalize would leave alone; give one of them")

    def check(self, options: SamplingOptions) -> None:
        """Raise UsageError where the sound of a task cannot be finished so, as far as that can be told before."""
        if self.rate is not None and isinstance(options, GenerateOptions):
            check_result(options.seconds, self.rate, self.channels or options.channels)
        level_or_length = self.trim or self.lufs is not None or not self.normalize
        if level_or_length and isinstance(options, GenerateOptions) and (options.stems or options.layer is not None):
            raise UsageError(
                "layers keep the level and length they have in the mix; leave out --lufs, --trim and --no-normalize"
            )
        if self.trim and options.loops:
            raise UsageError("a loop that is trimmed no longer closes; leave out --trim or --loop")
