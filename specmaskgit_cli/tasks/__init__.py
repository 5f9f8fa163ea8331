"""What is made of sounds: inpaint, extend, continue, vary, sketch and loop, each a set-up of tokens and mask."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from ..options import (
    ContinueOptions,
    EditOptions,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SketchOptions,
    VaryOptions,
)
from ..pipeline import Pipeline, Progress, Sound
from ..threads import one_blas_thread
from .continue_ import continuation
from .extend import extend
from .inpaint import inpaint
from .loop import loop
from .regenerate import Request
from .sketch import sketch
from .source import Source
from .vary import vary

TASKS = {
    InpaintOptions: inpaint,
    ExtendOptions: extend,
    ContinueOptions: continuation,
    VaryOptions: vary,
    SketchOptions: sketch,
    LoopOptions: loop,
}


def edit(pipe: Pipeline, options: EditOptions, progress: Progress | None = None) -> list[Sound]:
    """`options.num` results with seeds seed, seed + 1, ...; none where there is nothing to do (see `extend`).

    Raises:
        SmgError: the input cannot be read, or does not suit the task.
    """
    return edit_source(pipe, Source.read(options.input), options, progress)


@one_blas_thread()
def edit_source(pipe: Pipeline, source: Source, options: EditOptions, progress: Progress | None = None) -> list[Sound]:
    """As `edit`, of a sound that is in memory; `options.input` is only its name."""
    if options.seed is None:
        options = replace(options, seed=secrets.randbelow(2**32 - options.num))
    warnings = pipe.conditions.unfamiliar(options.prompt)
    sounds = []
    for index in range(options.num):
        started, seed = time.perf_counter(), options.seed + index
        request = Request.of(pipe, options, seed, progress).part(index, options.num)
        result = TASKS[type(options)](request, source, options)
        if result is None:
            break
        sounds.append(
            Sound(
                result.samples, result.rate, result.mel, pipe.config.mel, seed,
                replace(result.options or options, seed=seed, num=1), None, warnings + result.notes,
                time.perf_counter() - started, None if isinstance(options, SketchOptions) else source.subtype,
            )
        )  # fmt: skip
    return sounds
