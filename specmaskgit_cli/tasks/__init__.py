"""The tasks: sounds from prompts, and edits of sounds. Each sets up tokens and a mask, and finishes the sound.

`TASKS` is the one list of them, by name.
"""

from __future__ import annotations

from ..options.base import SamplingOptions
from . import continue_, extend, generate, inpaint, loop, sketch, vary
from .base import Task

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK for module in (generate, inpaint, extend, continue_, vary, sketch, loop)
}


def task_of(options: SamplingOptions) -> Task:
    """The task whose options these are."""
    return next(task for task in TASKS.values() if type(options) is task.options)
