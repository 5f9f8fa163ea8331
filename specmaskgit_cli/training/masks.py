"""Which tokens a training step hides: the share of each example, and the order of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FULL_MASK = 0.15  # share of examples that are masked all over: there the condition has to do everything


@dataclass(frozen=True)
class Masks:
    """Cells in a random order for each example, of which the first ones are masked.

    All shapes depend on the size of the grid alone, so that a GPU need not wait to learn how many cells there are.

    Attributes:
        order: int64 [B, rows * columns], places of the grid, in row-major order.
        counts: int64 [B], how many are masked, at least 1.
        grid: (rows, columns).
    """

    order: Tensor
    counts: Tensor
    grid: tuple[int, int]

    @classmethod
    def draw(cls, size: int, grid: tuple[int, int], generator: torch.Generator, device: torch.device | str) -> Masks:
        """Masks of `size` examples: cosine-distributed shares (arXiv 2202.04200, section 3.2), some of them whole."""
        cells = grid[0] * grid[1]
        drawn = torch.rand(2, size, generator=generator, device=device)
        share = torch.where(drawn[0] < FULL_MASK, 1.0, torch.cos(drawn[1] * torch.pi / 2))
        order = torch.rand(size, cells, generator=generator, device=device).argsort(1)
        return cls(order, (share * cells).ceil().long().clamp(min=1), grid)

    @classmethod
    def whole(cls, size: int, grid: tuple[int, int], device: torch.device) -> Masks:
        """Everything is masked."""
        cells = grid[0] * grid[1]
        order = torch.arange(cells, device=device).expand(size, cells)
        return cls(order, torch.full((size,), cells, device=device), grid)

    def __getitem__(self, examples: slice) -> Masks:
        return Masks(self.order[examples], self.counts[examples], self.grid)

    @property
    def cells(self) -> Tensor:
        """bool [B, rows, columns], True = masked."""
        return self.grid_of(self.counts)

    def grid_of(self, counts: Tensor) -> Tensor:
        """bool [B, rows, columns], True for the first `counts` [B] cells of the order."""
        ranks = torch.empty_like(self.order).scatter_(1, self.order, self.ranks.expand_as(self.order))
        return (ranks < counts[:, None]).unflatten(1, self.grid)

    @property
    def ranks(self) -> Tensor:
        return torch.arange(self.order.shape[1], device=self.order.device)

    def some(self, share: float) -> tuple[Tensor, Tensor]:
        """A share of the masked cells: places int64 [B, n] and whether each of them is one, bool [B, n]."""
        few = self.few(share)
        places = self.order[:, : max(1, int(self.order.shape[1] * share))]
        return places, self.ranks[: places.shape[1]] < few[:, None]

    def few(self, share: float) -> Tensor:
        """How many cells `some` means, int64 [B]."""
        return (self.counts * share).long().clamp(min=1)
