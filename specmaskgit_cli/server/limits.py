"""How much one request may ask for: less than the options allow, because others may be waiting."""

from __future__ import annotations

from ..errors import UsageError, at_fault
from ..options import SamplingOptions
from ..sounds.record import check_size
from ..tasks import check_made

MAX_SECONDS = 300  # of a sound to upload or to edit
MAX_SAMPLES = 32_000_000  # of all channels: 5 minutes of 48 kHz stereo and some
MOST = {"seconds": 120, "num": 10, "steps": 64, "candidates": 8}
MAX_BOXES = 16
MAX_WORK = 20_000  # seconds of sound times steps: about two minutes on four cores


def check_limits(options: SamplingOptions, model_rate: int, seconds: float, rate: int, channels: int) -> None:
    """Raise UsageError where a task is more than one request may ask for.

    Args:
        model_rate: in Hz.
        seconds, rate, channels: of the sound to edit; 0, 0, 1 where there is none.
    """
    for name, limit in MOST.items():
        if (value := getattr(options, name, 0)) > limit:
            with at_fault(name):
                raise UsageError(f"{name} is {value:g}; one request may ask for up to {limit}")
    if len(boxes := getattr(options, "boxes", ())) > MAX_BOXES:
        with at_fault("boxes"):
            raise UsageError(f"{len(boxes)} boxes; one request may have up to {MAX_BOXES}")
    check_size(options)
    check_made(options, model_rate, seconds, rate, channels, most=MAX_SAMPLES)
    _check_work(options, seconds)


def _check_work(options: SamplingOptions, length: float) -> None:
    """Raise UsageError where a task would keep the model from others for too long; `length`: of the sound to edit."""
    new = getattr(options, "seconds", getattr(options, "join", length))
    if boxes := getattr(options, "boxes", ()):
        new = min(length, sum((length if box.end is None else box.end) - box.start for box in boxes))
    times = options.num * getattr(options, "candidates", 1) * max(1, len(options.texts))
    if new * options.steps * times > MAX_WORK:
        what = f"{new:g} s of sound in {options.steps} steps" + (f", {times} times over," if times > 1 else "")
        raise UsageError(f"{what} is more than one request may ask for; use less of one of them")
