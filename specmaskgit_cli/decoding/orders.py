"""Which cells of a grid are decided when: one class a strategy.

A cell is a flat index into the rows and columns of a grid, row by row. Entries of `item` and `cell`, both int [M] and
sorted by item, name M cells of a batch of grids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .schedules import SCHEDULES, noise_ramp
from .settings import DecodeSettings


class Order:
    """Decides which cells are decided at each step. One object serves one call of `decode`.

    Args:
        settings: how to decode.
        mask: bool [B, rows, columns], True = to be generated.
        rngs: B generators, advanced in place.

    Attributes:
        plans: for each item int64 [steps of the item], the number of cells that it decides at each step.
    """

    def __init__(self, settings: DecodeSettings, mask: np.ndarray, rngs: Sequence[np.random.Generator]):
        self.settings, self.rngs = settings, rngs
        self.schedule = SCHEDULES[settings.schedule]()
        self.plans = [self.plan(int(grid.sum()), rng) for grid, rng in zip(mask, rngs, strict=True)]

    def plan(self, masked: int, rng: np.random.Generator) -> np.ndarray:
        """Number of cells that an item with `masked` masked cells decides at each step, int64 [steps]."""
        return self.schedule.counts(masked, self.settings.steps, rng)

    def remask(self, step: int, codes: np.ndarray, masked: np.ndarray) -> np.ndarray:
        """Which cells decided earlier are masked again before a step. By default none.

        Args:
            step: the step about to begin.
            codes: int64 [B, cells, levels], the grids with 0 where they are masked.
            masked: bool [B, cells].

        Returns:
            bool [B, cells]. Cells that the caller gave as decided must not be among them, and `plans` has to count
            the cells that are.
        """
        return np.zeros_like(masked)

    def candidates(self, masked: np.ndarray, quota: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cells to predict at a step.

        Args:
            masked: bool [B, cells].
            quota: int [B], how many cells each item will decide at this step.

        Returns:
            item and cell, int [M] each: at least the quota of each item, and none of an item without one.
        """
        raise NotImplementedError

    def choose(
        self, step: int, item: np.ndarray, cell: np.ndarray, confidence: np.ndarray, quota: np.ndarray
    ) -> np.ndarray:
        """The candidates to decide at a step.

        Args:
            step: the current step.
            item, cell: int [M] each, from `candidates`.
            confidence: float32 [M], log-probabilities of the codes drawn.
            quota: int [B], how many to take of each item.

        Returns:
            ascending indices into the M candidates.
        """
        raise NotImplementedError


class Confidence(Order):
    """The cells whose codes the model is most sure of, with Gumbel noise that fades over the steps (MaskGIT)."""

    def candidates(self, masked: np.ndarray, quota: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        item, cell = np.nonzero(masked & (quota > 0)[:, None])
        return item, cell

    def choose(
        self, step: int, item: np.ndarray, cell: np.ndarray, confidence: np.ndarray, quota: np.ndarray
    ) -> np.ndarray:
        noise = [
            noise_ramp(step, len(self.plans[i]), self.settings.gumbel) * self.rngs[i].gumbel(size=np.sum(item == i))
            for i in np.flatnonzero(quota).tolist()
        ]
        return best(confidence + np.concatenate(noise), item, quota)


class Revisit(Confidence):
    """As "confidence", then the least sure cells once more: their codes were drawn before their neighbours were known.

    The last step masks a share of the decided cells again and decides them anew; the schedule has the steps before it.
    Token-Critic (Lezama et al., arXiv 2209.04439) also masks tokens again, by the judgement of a second network.
    With a single step nothing is revisited.
    """

    SHARE = 0.25  # of the cells that were masked at first

    def __init__(self, settings: DecodeSettings, mask: np.ndarray, rngs: Sequence[np.random.Generator]):
        super().__init__(settings, mask, rngs)
        # Log-probability of each code when it was drawn; infinite where none was, as in the cells the caller gave.
        self.sureness = np.full((len(mask), mask.shape[1] * mask.shape[2]), np.inf)

    def plan(self, masked: int, rng: np.random.Generator) -> np.ndarray:
        if self.settings.steps == 1:
            return super().plan(masked, rng)
        counts = self.schedule.counts(masked, self.settings.steps - 1, rng)
        return np.append(counts, math.ceil(self.SHARE * masked))

    def remask(self, step: int, codes: np.ndarray, masked: np.ndarray) -> np.ndarray:
        again = np.array([plan[step] if step == len(plan) - 1 else 0 for plan in self.plans])
        turn = np.argsort(np.argsort(self.sureness, axis=1, kind="stable"), axis=1)
        return (turn < again[:, None]) & np.isfinite(self.sureness)

    def choose(
        self, step: int, item: np.ndarray, cell: np.ndarray, confidence: np.ndarray, quota: np.ndarray
    ) -> np.ndarray:
        chosen = super().choose(step, item, cell, confidence, quota)
        self.sureness[item[chosen], cell[chosen]] = confidence[chosen]
        return chosen


class Fixed(Order):
    """An order known beforehand, so that only the cells about to be decided are predicted."""

    def __init__(self, settings: DecodeSettings, mask: np.ndarray, rngs: Sequence[np.random.Generator]):
        super().__init__(settings, mask, rngs)
        self.turn = self.turns(*mask.shape)

    def turns(self, batch: int, rows: int, columns: int) -> np.ndarray:
        """When each cell has its turn: int64 [batch, rows * columns], each number once in a grid."""
        raise NotImplementedError

    def candidates(self, masked: np.ndarray, quota: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        item, cell = np.nonzero(masked & (quota > 0)[:, None])
        first = best(-self.turn[item, cell], item, quota)
        return item[first], cell[first]

    def choose(
        self, step: int, item: np.ndarray, cell: np.ndarray, confidence: np.ndarray, quota: np.ndarray
    ) -> np.ndarray:
        return np.arange(len(item))


class Random(Fixed):
    """Every order of the cells is equally likely."""

    def turns(self, batch: int, rows: int, columns: int) -> np.ndarray:
        return np.stack([rng.permutation(rows * columns) for rng in self.rngs])


class Halton(Fixed):
    """Cells far from each other first, so that those of one step depend little on one another (arXiv 2503.17076)."""

    def turns(self, batch: int, rows: int, columns: int) -> np.ndarray:
        return np.tile(np.argsort(halton_order(rows, columns)), (batch, 1))


class Raster(Fixed):
    """In time, low frequencies first."""

    def turns(self, batch: int, rows: int, columns: int) -> np.ndarray:
        return np.tile(np.argsort(raster_order(rows, columns)), (batch, 1))


ORDERS: dict[str, type[Order]] = {
    "confidence": Confidence,
    "halton": Halton,
    "random": Random,
    "raster": Raster,
    "revisit": Revisit,
}


def best(score: np.ndarray, item: np.ndarray, quota: np.ndarray) -> np.ndarray:
    """The entries with the highest score, for each item as many as its quota.

    Args:
        score: float [M].
        item: int [M], ascending: the item that an entry belongs to.
        quota: int [items]: how many entries of each to take.

    Returns:
        ascending indices into the M entries; of equal scores the lower index is taken.
    """
    order = np.lexsort((-score, item))
    position = np.arange(len(item)) - np.searchsorted(item, item)
    return np.sort(order[position < quota[item]])


def halton_order(rows: int, columns: int) -> np.ndarray:
    """All cells of a grid in the order in which a Halton sequence (bases 2 and 3) first visits them.

    Returns:
        int64 [rows * columns]: flat indices, row by row, each once.
    """
    cells = rows * columns
    points = 2 * cells
    while True:
        index = np.arange(1, points + 1)
        row = np.floor(_radical_inverse(index, 2) * rows)
        column = np.floor(_radical_inverse(index, 3) * columns)
        visited, first = np.unique((row * columns + column).astype(np.int64), return_index=True)
        if len(visited) == cells:
            return visited[np.argsort(first)]
        points *= 2


def raster_order(rows: int, columns: int) -> np.ndarray:
    """All cells of a grid column by column, each from its first row on.

    Returns:
        int64 [rows * columns]: flat indices, row by row, each once.
    """
    return np.arange(rows * columns).reshape(rows, columns).T.ravel()


def _radical_inverse(index: np.ndarray, base: int) -> np.ndarray:
    """The digits of `index` mirrored at the point: float64 in [0, 1)."""
    value, digit = np.zeros(index.shape), 1.0
    while index.any():
        digit /= base
        value += digit * (index % base)
        index = index // base
    return value
