"""Where the time of a sound goes: the clock around every stage of a pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..pipeline import Pipeline
from ..runtime import Runtime
from ..synthesis.engine import Engine
from .flops import generator_flops

# What a runtime computes, by the names that it tells observers, that is a stage of its own.
_COMPUTED = {
    "text_encoder": "text encoder",
    "generator": "generator",
    "head": "head",
    "tokenizer_decoder": "tokenizer decoder",
    "vocode": "vocoder",
}
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


class TimedEngine(Engine):
    """An engine that times decoding."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime, clock: Clock):
        super().__init__(checkpoint, runtime)
        self.clock = clock

    def fill(self, *arguments) -> np.ndarray:
        with self.clock.time("decoding"):
            return super().fill(*arguments)


class TimedPipeline(Pipeline):
    """A pipeline that times decoding, and has its runtime watched by the clock."""

    def __init__(self, pipe: Pipeline, clock: Clock):
        super().__init__(pipe.checkpoint, pipe.runtime)
        self.engine, self.clock = TimedEngine(pipe.checkpoint, pipe.runtime, clock), clock
        self.runtime.observers.append(self._observe)

    @contextmanager
    def _observe(self, name: str, inputs: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Time what the runtime computes, if it is a stage of its own."""
        if name not in _COMPUTED:
            yield
            return
        with self.clock.time(_COMPUTED[name]):
            yield
        if name == "generator":
            batch, rows, columns = inputs["mask"].shape
            self.clock.tokens = max(self.clock.tokens, batch * rows * columns)
            self.clock.flops += generator_flops(self.config, batch, columns, inputs["cells"].shape[1])

    def forget(self) -> None:
        """Start the clock anew, with a prompt that has not been heard before."""
        self.clock.reset()
        self.engine.prompts.forget()
