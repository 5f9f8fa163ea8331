"""The tasks: sounds from prompts, and edits of sounds. Each sets up tokens and a mask, and finishes the sound.

`TASKS` is the one list of them, by name: commands, batch columns, the forms of the server and records derive from it.
"""

from __future__ import annotations

from ..bounds import MAX_SAMPLES, check_result
from ..options import SamplingOptions, tasks
from .base import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("generate", tasks.GenerateOptions, "generating", "generated"),
        Task("inpaint", tasks.InpaintOptions, "inpainting", "inpainted"),
        Task("extend", tasks.ExtendOptions, "extending", "extended"),
        Task("continue", tasks.ContinueOptions, "continuing", "continued", module="continue_"),
        Task("vary", tasks.VaryOptions, "varying", "varied"),
        Task("sketch", tasks.SketchOptions, "sketching", "sketched"),
        Task("loop", tasks.LoopOptions, "looping", "looped"),
    )
}


def task_of(options: SamplingOptions) -> Task:
    """The task whose options these are."""
    return next(task for task in TASKS.values() if type(options) is task.options)


def check_made(
    options: SamplingOptions, model_rate: int, seconds: float = 0.0, rate: int = 0, channels: int = 1,
    most: int = MAX_SAMPLES,
) -> None:  # fmt: skip
    """Raise UsageError where a task makes more than `most` samples in all.

    Args:
        model_rate: in Hz; a result has the rate of the sound to edit where that is higher.
        seconds, rate, channels: of the sound to edit, if there is one.
    """
    new = getattr(options, "seconds", 0.0)
    made = getattr(options, "channels", channels)
    check_result(seconds + new, max(rate, model_rate), made, options.sounds, most)
