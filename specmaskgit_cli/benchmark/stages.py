"""Where the time of a sound goes: a runtime and a pipeline that watch the clock around what they pass on."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..pipeline import Pipeline
from ..synthesis.engine import Engine
from .flops import generator_flops

# The methods of a runtime that are stages of their own.
_METHODS = {"embed_text": "text encoder", "hidden": "generator", "logits": "head", "decode": "tokenizer decoder"}
STAGES = ("text encoder", "generator", "head", "sampling", "tokenizer decoder", "vocoder", "other")


class Clock:
    """Since `reset`: seconds and calls by stage, the generator's floating-point operations, and the most tokens that
    one of its passes had."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self.seconds = dict.fromkeys((*STAGES, "decoding"), 0.0)
        self.calls = dict.fromkeys((*STAGES, "decoding"), 0)
        self.flops, self.tokens = 0.0, 0

    @contextmanager
    def time(self, stage: str):
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started
            self.calls[stage] += 1

    def stages(self, total: float) -> dict[str, float]:
        """Seconds of each of STAGES, which sum to `total`.

        Sampling is what decoding takes beside the generator and its head; other is what no stage accounts for.
        """
        found = {stage: self.seconds[stage] for stage in STAGES}
        found["sampling"] = self.seconds["decoding"] - found["generator"] - found["head"]
        found["other"] = total - sum(value for stage, value in found.items() if stage != "other")
        return found


class TimedRuntime:
    """A runtime whose calls are timed; all else is the runtime's own."""

    def __init__(self, runtime, clock: Clock):
        self._runtime, self._clock = runtime, clock

    def __getattr__(self, name: str):
        value = getattr(self._runtime, name)
        if name not in _METHODS:
            return value

        def timed(*arguments):
            with self._clock.time(_METHODS[name]):
                result = value(*arguments)
            if name == "hidden":
                batch, rows, columns = arguments[0].shape[:3]
                self._clock.tokens = max(self._clock.tokens, batch * rows * columns)
                self._clock.flops += generator_flops(self._runtime.config, batch, columns, arguments[4].shape[1])
            return result

        return timed


class TimedEngine(Engine):
    """An engine that times decoding and vocoding, on a timed runtime."""

    def __init__(self, checkpoint: Checkpoint, runtime: TimedRuntime, clock: Clock):
        super().__init__(checkpoint, runtime)
        self.clock = clock

    def fill(self, *arguments) -> np.ndarray:
        with self.clock.time("decoding"):
            return super().fill(*arguments)

    def vocode(self, *arguments) -> np.ndarray:
        with self.clock.time("vocoder"):
            return super().vocode(*arguments)


class TimedPipeline(Pipeline):
    """A pipeline whose engine is timed."""

    def __init__(self, pipe: Pipeline, clock: Clock):
        runtime = TimedRuntime(pipe.runtime, clock)
        super().__init__(pipe.checkpoint, runtime)
        self.engine, self.clock = TimedEngine(pipe.checkpoint, runtime, clock), clock

    def forget(self) -> None:
        """Start the clock anew, with a prompt that has not been heard before."""
        self.clock.reset()
        self.engine.prompts.forget()
