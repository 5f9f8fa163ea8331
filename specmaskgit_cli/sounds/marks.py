"""Which parts of an edited sound are new, as its options tell."""

from __future__ import annotations

from ..options import Box, ContinueOptions, ExtendOptions, InpaintOptions, LoopOptions, SamplingOptions


def marks(options: SamplingOptions, seconds: float) -> tuple[Box, ...]:
    """Boxes around what is new in a sound that lasts `seconds`; none where all of it is, or nothing tells."""
    if isinstance(options, InpaintOptions):
        return tuple(box.within(seconds) for box in options.boxes)
    if isinstance(options, ExtendOptions) and options.cutoff is not None:
        return (Box(0.0, seconds, options.cutoff),)
    if isinstance(options, ContinueOptions):
        new = min(options.seconds, seconds)
        return (Box(0.0, new) if options.before else Box(seconds - new, seconds),)
    if isinstance(options, LoopOptions):
        return (Box(seconds - min(options.join, seconds / 3), seconds),)
    return ()
