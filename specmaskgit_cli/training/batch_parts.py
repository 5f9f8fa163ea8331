"""How a step's batch is cut: into parts that one process computes at a time, each the same whoever computes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .. import distributed


def step_rng(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """The random choices of a step that hold for all of its examples."""
    return np.random.default_rng([seed, step, 0, stream])


@dataclass(frozen=True)
class BatchPart:
    """Some neighbouring examples of the batch of one step.

    Example i of step n draws from a generator of (seed, n, i) alone, so the parts together are the same batch however
    many there are.

    Attributes:
        index, count: which part of how many.
        stream: another one is another batch at the same step.
    """

    seed: int
    step: int
    index: int = 0
    count: int = 1
    stream: int = 0

    def examples(self, size: int) -> slice:
        """Those of a batch of `size` that belong to this part; none, where there are more parts than examples."""
        return slice(size * self.index // self.count, size * (self.index + 1) // self.count)

    def share(self, size: int) -> float:
        """Of a batch of `size`, in this part."""
        examples = self.examples(size)
        return (examples.stop - examples.start) / size

    def rng(self, stream: int = 0) -> np.random.Generator:
        """The same one in every part."""
        return step_rng(self.seed, self.step, stream or self.stream)

    def generator(self, device: torch.device, stream: int = 0) -> torch.Generator:
        """As `rng`, for draws on a device."""
        seed = int(self.rng(stream).integers(2**62))
        return torch.Generator(device).manual_seed(seed)

    def rngs(self, size: int) -> list[np.random.Generator]:
        """One for each example of this part."""
        examples = self.examples(size)
        numbers = range(examples.start, examples.stop)
        return [np.random.default_rng([self.seed, self.step, i + 1, self.stream]) for i in numbers]


class _Draws(Dataset):
    """What a stage draws for each part, by the part."""

    def __init__(self, stage):
        self.stage = stage

    def __getitem__(self, part: BatchPart):
        return part, self.stage.draw(part)


def drawn_parts(stage, step: int) -> Iterator[tuple[BatchPart, object]]:
    """The parts of this process from a step on, and their examples."""
    options = stage.options
    count = distributed.size() * options.accumulate
    first = distributed.rank() * options.accumulate
    parts = (
        BatchPart(options.seed, n, index, count)
        for n in itertools.count(step)
        for index in range(first, first + options.accumulate)
    )
    workers = options.workers if stage.drawn_ahead else 0
    return iter(DataLoader(_Draws(stage), batch_size=None, sampler=parts, num_workers=workers, collate_fn=_as_it_is))


def _as_it_is(drawn):
    return drawn
