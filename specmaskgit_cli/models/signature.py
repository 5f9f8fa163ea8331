"""What goes into a graph and what comes out: names, sizes, which sizes may differ, and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

LONG = 1 << 20


@dataclass(frozen=True)
class Axis:
    """A size that may differ from call to call.

    Attributes:
        name: what exported graphs call it.
        low, high: its bounds, which the exporter is told; None where it finds them itself.
        a_column: how large it is in an example, for each column of the token grid.
        times: an array is so many times as large along this axis; see `__mul__`.
    """

    name: str
    low: int | None = None
    high: int | None = None
    a_column: int = 1
    times: int = 1

    def __mul__(self, times: int) -> Axis:
        """An axis `times` as large as this one, whatever size this one has: `columns * frames_of_a_column`."""
        return replace(self, times=self.times * times)

    def example(self, columns: int) -> int:
        """Its size, without `times`, in an example of so many columns."""
        size = max(self.a_column * columns, self.low or 1)
        return size if self.high is None else min(size, self.high)


BATCH = Axis("batch")

# Makes an example of an array: (random generator, shape, sizes of all axes by name) -> array.
Draw = Callable[[np.random.Generator, tuple[int, ...], Mapping[str, int]], np.ndarray]


@dataclass(frozen=True)
class Array:
    """An input or the output of a graph; `axes` are its sizes, in order. `draw` makes examples of an input."""

    name: str
    axes: tuple[int | Axis, ...]
    draw: Draw | None = None

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape where the axes have these sizes."""
        return tuple(axis.times * sizes[axis.name] if isinstance(axis, Axis) else axis for axis in self.axes)


@dataclass(frozen=True)
class Signature:
    """The inputs of a graph, in the order in which the network's method takes them, and its output."""

    inputs: tuple[Array, ...]
    output: Array

    def output_shape(self, inputs: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        """The shape of the output for these inputs."""
        sizes = {
            axis.name: size // axis.times
            for array in self.inputs
            for axis, size in zip(array.axes, np.shape(inputs[array.name]), strict=True)
            if isinstance(axis, Axis)
        }
        return self.output.shape(sizes)

    def example(self, rng: np.random.Generator, batch: int, columns: int) -> dict[str, np.ndarray]:
        """Random inputs by name: `batch` items of about so many columns of the token grid."""
        axes = (axis for array in self.inputs for axis in array.axes if isinstance(axis, Axis))
        sizes = {axis.name: axis.example(columns) for axis in axes} | {BATCH.name: batch}
        return {array.name: array.draw(rng, array.shape(sizes), sizes) for array in self.inputs}


def normal(mean: float, deviation: float) -> Draw:
    """Normally distributed float32 numbers."""
    return lambda rng, shape, sizes: rng.normal(mean, deviation, shape).astype(np.float32)


def whole(below: int | Callable[[Mapping[str, int]], int]) -> Draw:
    """Whole numbers, int64, from 0 to less than `below`, which may depend on the sizes of the axes."""
    return lambda rng, shape, sizes: rng.integers(below(sizes) if callable(below) else below, size=shape)


def coin(rng: np.random.Generator, shape: tuple[int, ...], sizes: Mapping[str, int]) -> np.ndarray:
    """True or false, both as likely."""
    return rng.random(shape) < 0.5


def true(rng: np.random.Generator, shape: tuple[int, ...], sizes: Mapping[str, int]) -> np.ndarray:
    """True everywhere."""
    return np.ones(shape, bool)


def direction(rng: np.random.Generator, shape: tuple[int, ...], sizes: Mapping[str, int]) -> np.ndarray:
    """Rows float32 of unit length."""
    rows = rng.standard_normal(shape, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def below_a_cutoff(rng: np.random.Generator, shape: tuple[int, ...], sizes: Mapping[str, int]) -> np.ndarray:
    """True in the first of the last axis's places, at least one and not all."""
    return np.arange(shape[-1]) < rng.integers(1, shape[-1], (*shape[:-1], 1))
