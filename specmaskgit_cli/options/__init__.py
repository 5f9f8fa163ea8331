"""What a user asks for: the options of tasks and of output, each declared once, with its check, help and default."""

from .base import EditOptions, SamplingOptions
from .box import Box
from .fields import options_of
from .output import OutputOptions
from .schema import schema_of
from .tasks import (
    VARIETY,
    ContinueOptions,
    ExtendOptions,
    GenerateOptions,
    InpaintOptions,
    LoopOptions,
    NewSoundOptions,
    SketchOptions,
    VaryOptions,
)

__all__ = [
    "VARIETY",
    "Box",
    "ContinueOptions",
    "EditOptions",
    "ExtendOptions",
    "GenerateOptions",
    "InpaintOptions",
    "LoopOptions",
    "NewSoundOptions",
    "OutputOptions",
    "SamplingOptions",
    "SketchOptions",
    "VaryOptions",
    "options_of",
    "schema_of",
]
