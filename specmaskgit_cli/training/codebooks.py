"""Codebooks that follow the means of what is coded with them, instead of gradients."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers import without_autocast
from ..models.tokenizer import Tokenizer

DECAY = 0.98


class TrainableTokenizer(nn.Module):
    """A tokenizer with the running statistics that fit its codebooks (van den Oord et al. 2017, appendix A.1)."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self.tokenizer = tokenizer
        books = tokenizer.quantizer.codebooks
        self.register_buffer("counts", torch.ones(books.shape[:2]))
        self.register_buffer("sums", books.clone())
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))
        self._fitted = False

    @property
    def fitted(self) -> bool:
        """Whether the codebooks were fitted; asked at every step, so that it should not wait for a device."""
        if not self._fitted:
            self._fitted = bool(self.is_fitted)
        return self._fitted

    @property
    def levels(self) -> int:
        return len(self.counts)

    @torch.no_grad()
    def adopt(self, other: TrainableTokenizer) -> None:
        """Take over all weights of a tokenizer that may have fewer levels."""
        mine = self.state_dict()
        for name, tensor in other.state_dict().items():
            shared = mine[name][: len(tensor)] if tensor.ndim else mine[name]
            shared.copy_(tensor)

    def used(self) -> Tensor:
        """Mean share of a level's codes that are in use."""
        return (self.counts > 0.3).float().mean()

    @torch.no_grad()
    def fit(self, latents: Tensor, rng: np.random.Generator, first: int = 0) -> None:
        """k-means of each level from `first` on, on what the former left."""
        books = self.tokenizer.quantizer.codebooks
        residual = latents.clone()
        for level, book in enumerate(books):
            if level < first:
                residual = residual - book[nearest(residual, book)]
                continue
            size = len(book)
            pick = torch.from_numpy(rng.permutation(len(residual))).to(residual.device)
            book.copy_(residual[pick.repeat(-(-size // len(pick)))[:size]])
            for _ in range(8):
                index = nearest(residual, book)
                counts, sums = assign(index, residual, size)
                filled = counts > 0
                book[filled] = sums[filled] / counts[filled, None]
            index = nearest(residual, book)
            residual = residual - book[index]
            # scaled to the size of one batch, so that moving averages start near their equilibrium
            share = assign(index, residual, size)[0] / len(residual)
            self.counts[level] = share * len(latents) / 8 + 1e-3
        self.sums.copy_(books * self.counts[..., None])
        self.is_fitted.fill_(True)

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(straight-through quantised latents, commitment loss, codes [levels, n], what each level was to code
        [levels, n, dim])."""
        flat = z.reshape(-1, z.shape[-1])
        codes, residuals = [], [flat.detach().float()]
        with torch.no_grad(), without_autocast(z.device.type):
            for book in self.tokenizer.quantizer.codebooks:
                codes.append(nearest(residuals[-1], book))
                residuals.append(residuals[-1] - book[codes[-1]])
            total = residuals[0] - residuals.pop()
        commitment = F.mse_loss(flat, total)
        quantised = (flat + (total - flat).detach()).reshape(z.shape)
        return quantised, commitment, torch.stack(codes), torch.stack(residuals)

    @torch.no_grad()
    def follow(self, seen: Seen, rng: np.random.Generator) -> None:
        """Move the codebooks towards the means of what was coded with them."""
        self.counts.lerp_(seen.counts, 1 - DECAY)
        self.sums.lerp_(seen.sums, 1 - DECAY)
        for level, residual in enumerate(seen.residuals if seen.residuals.shape[1] else ()):
            dead = (self.counts[level] < 0.1).nonzero()[:, 0]
            if len(dead):
                pick = torch.from_numpy(rng.integers(len(residual), size=len(dead))).to(residual.device)
                self.sums[level][dead] = residual[pick]
                self.counts[level][dead] = 1.0
        self.tokenizer.quantizer.codebooks.copy_(self.sums / self.counts.clamp(min=1e-5)[..., None])


class Seen:
    """What one step's batch tells about codebooks [levels, size, dim]: sums over its examples.

    Args:
        keep: how many latents to keep beside them, to revive unused codes with.
    """

    def __init__(self, books: Tensor, keep: int):
        self.counts, self.sums = books.new_zeros(books.shape[:2]), torch.zeros_like(books)
        self.residuals = books.new_zeros(len(books), keep, books.shape[2])
        self.tensors = self.counts, self.sums, self.residuals

    def add(self, codes: Tensor, residuals: Tensor, start: int) -> None:
        """Codes [levels, n] of residuals [levels, n, dim], the first of which is latent `start` of the batch."""
        for level, (index, residual) in enumerate(zip(codes, residuals, strict=True)):
            counts, sums = assign(index, residual, self.counts.shape[1])
            self.counts[level] += counts
            self.sums[level] += sums
        if self.residuals.shape[1]:
            self.residuals[:, start : start + residuals.shape[1]] = residuals


def nearest(x: Tensor, book: Tensor) -> Tensor:
    """Index of the nearest row of book [size, dim] for each x [n, dim]."""
    return (x @ book.T - 0.5 * book.square().sum(1)).argmax(1)


def assign(index: Tensor, x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Counts [size] and sums [size, dim] of the x of each index."""
    counts = torch.zeros(size, dtype=x.dtype, device=x.device)
    counts.index_add_(0, index, torch.ones_like(index, dtype=x.dtype))
    return counts, torch.zeros(size, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, index, x)
