"""Parallel masked decoding with guidance, the way every sound and every edit is made.

MaskGIT (arXiv 2202.04200) with the ramped classifier-free guidance of SpecMaskGIT (arXiv 2406.17672), extended to
residual codes: the first level chooses which positions are decided at a step, the deeper levels follow there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..options import GUIDANCE, STEPS, SamplingOptions
from . import sampling
from .schedule import SCHEDULES, counts, guidance_ramp, noise_ramp


@dataclass(frozen=True)
class DecodeSettings:
    """How to decode. The defaults are the paper's where it names one.

    Other ways to decode are settings of the same loop. Order "raster" with as many steps as there are tokens, or more,
    is autoregressive; order "random" with the ancestral schedule is the reverse process of absorbing-state diffusion,
    the kind of VQ-Diffusion (arXiv 2111.14822). Both have their guidance without a ramp.
    """

    steps: int = STEPS
    guidance: float = GUIDANCE  # where the ramp ends; 0 turns the unconditional pass off
    temperature: float = 1.0
    top_p: float = 1.0
    gumbel: float = 4.5  # noise on the confidence at the first step
    order: str = "confidence"  # or "halton", "random", "raster"
    schedule: str = "cosine"  # of the tokens decided at a step; or "ancestral"
    onset: float = 0.5  # of the guidance, its share at the first step: 0 in the paper, 1 is no ramp
    guided: float = 0.75  # share of the steps, from the first, that are guided: 1 in the paper
    detail: float = 0.3  # temperature of the deeper levels, as a share of the first level's

    def __post_init__(self):
        if self.order not in sampling.ORDERS:
            raise ValueError(f"order is {self.order!r}, expected one of {', '.join(sampling.ORDERS)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}, expected one of {', '.join(SCHEDULES)}")
        if self.steps < 1 or not self.temperature > 0 or not self.detail > 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"steps below 1, temperature or detail not above 0, or top_p outside (0, 1]: {self}")
        if not 0 <= self.onset <= 1 or not 0 <= self.guided <= 1:
            raise ValueError(f"onset or guided outside [0, 1]: {self}")

    @classmethod
    def of(cls, options: SamplingOptions) -> DecodeSettings:
        """As the options of a task say."""
        return cls(options.steps, options.guidance, options.temperature, options.top_p, order=options.order)


class Predictor(Protocol):
    """What the core asks of a model; every runtime has these.

    Attributes:
        guidance: up to which scale the model is guided in one pass, when told the scale as one more number of its
            condition; 0 for a model that is not told.
    """

    guidance: float

    def hidden(
        self, tokens: np.ndarray, mask: np.ndarray, condition: np.ndarray, dropped: np.ndarray, cells: np.ndarray
    ) -> np.ndarray:
        """Tokens [B, rows, columns, levels], mask [B, rows, columns], condition [B, D] or [B, D + 1] with the scale of
        the guidance it is told, dropped bool [B] (True: ignore the condition) to the states of the `cells` int64 [B, M]
        of each grid, float32 [B, M, width]."""

    def logits(
        self, hidden: np.ndarray, codes: np.ndarray, level: int, against: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """Rows of `hidden` [K, width] and codes [K, levels], known below `level`, to float32 [M, codebook size]: for
        each of the first M rows logits + scale * (logits - those of the row `against`), both [M]."""


def decode(
    predictor: Predictor,
    tokens: np.ndarray,
    mask: np.ndarray,
    condition: np.ndarray,
    settings: DecodeSettings,
    rngs: Sequence[np.random.Generator],
    negative: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw the masked tokens of a batch of grids.

    Guided logits are `conditional + scale * (conditional - unconditional)`, the convention of MaskGIT's followers:
    scale 0 is the plain conditional model. A predictor that can be told the scale gives them in one pass. Otherwise,
    above what it can be told, and to steer away from something, both passes are one call of `predictor.hidden`; the
    second is left out where the scale is 0. Every item is decoded by its own mask, its own number of steps
    (`schedule.counts`) and its own generator, so that it comes out the same alone and in any batch, as far as the
    predictor's own arithmetic is the same for both.

    Args:
        predictor: the model.
        tokens: int [B, rows, columns, levels]; values under the mask are ignored.
        mask: bool [B, rows, columns], True = to be generated.
        condition: float32 [B, D].
        settings: how to decode.
        rngs: B generators, advanced in place.
        negative: float32 [B, D], steered away from in place of the unconditional model.
        progress: called with (steps done, steps in all) after each step that decides something.

    Returns:
        int64 of the shape of `tokens`, equal to `tokens` where the mask is False. The arguments are not modified.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    batch, rows, columns, levels = tokens.shape
    if mask.shape != tokens.shape[:3] or len(condition) != batch or len(rngs) != batch:
        raise ValueError(f"tokens {tokens.shape}, mask {mask.shape}, {len(condition)} conditions, {len(rngs)} rngs")
    grid = np.array(tokens, np.int64, order="C")
    undecided = np.array(mask, bool, order="C")
    grid[undecided] = 0
    # Views, as both arrays are in C order: what is written through them is what the model sees at the next step.
    codes, masked = grid.reshape(batch, -1, levels), undecided.reshape(batch, -1)

    plans = [
        counts(int(n), settings.steps, settings.schedule, rng) for n, rng in zip(masked.sum(axis=1), rngs, strict=True)
    ]
    ranks = _ranks(settings.order, rows, columns, rngs)
    steps = max(map(len, plans), default=0)
    for step in range(steps):
        # An item that keeps nothing at a step needs no pass: its grid stays as it is.
        items = np.array([item for item, plan in enumerate(plans) if step < len(plan) and plan[step]], np.int64)
        if not len(items):
            continue
        keep = np.array([plans[item][step] for item in items])
        scales = np.array(
            [
                guidance_ramp(step, len(plans[item]), settings.guidance, settings.onset, settings.guided)
                for item in items
            ],
            np.float32,
        )
        told = scales * (scales <= predictor.guidance if negative is None else False)
        scales -= told
        guided = items[scales != 0]
        both = np.concatenate([items, guided])
        against = condition if negative is None else negative
        wanted = np.concatenate([condition[items], against[guided]])
        if predictor.guidance:
            wanted = np.column_stack([wanted, np.pad(told, (0, len(guided)))])
        dropped = np.zeros(len(both), bool)
        dropped[len(items) :] = negative is None
        # One entry a position from here on: `owner` indexes `items`, `where` the cells of the grid. np.nonzero sorts
        # them by owner, which is what lets every generator be asked for its own share.
        owner, where = np.nonzero(masked[items])
        if ranks is not None:  # the order is known beforehand: look only at what will be kept
            best = sampling.best(-ranks[items[owner], where], owner, keep)
            owner, where = owner[best], where[best]
        place = np.arange(len(owner)) - np.searchsorted(owner, owner)
        cells = np.zeros((len(items), place.max() + 1), np.int64)
        cells[owner, place] = where
        hidden = predictor.hidden(
            grid[both], undecided[both], wanted, dropped, np.concatenate([cells, cells[scales != 0]])
        )
        head = _GuidedHead(predictor, hidden, scales, settings, [rngs[item] for item in items])
        drawn = np.zeros((len(owner), levels), np.int64)
        drawn[:, 0], confidence = head.draw(owner, place, drawn, 0)
        if ranks is None:
            noise = [
                noise_ramp(step, len(plans[item]), settings.gumbel) * rngs[item].gumbel(size=masked[item].sum())
                for item in items
            ]
            best = sampling.best(confidence + np.concatenate(noise), owner, keep)
            owner, where, place, drawn = owner[best], where[best], place[best], drawn[best]
        for level in range(1, levels):
            drawn[:, level], _ = head.draw(owner, place, drawn, level)
        codes[items[owner], where] = drawn
        masked[items[owner], where] = False
        if progress:
            progress(step + 1, steps)
    return grid


class _GuidedHead:
    """The logits of one step, guided, and the draws from them."""

    def __init__(self, predictor, hidden, scales, settings, rngs):
        """`hidden`: the conditional rows of the active items, then the rows of those whose scale is not 0."""
        self.predictor, self.hidden, self.scales = predictor, hidden, scales
        self.settings, self.rngs = settings, rngs
        self.second = len(scales) - 1 + np.cumsum(scales != 0)  # where in `hidden` an item's second row is

    def draw(self, owner: np.ndarray, place: np.ndarray, known: np.ndarray, level: int):
        """Codes int64 [M] of `level` for the items `owner` [M], at what has the `place` [M] among an item's hidden
        states; and on the first level their log-probabilities, else None."""
        logits = self._logits(owner, place, known, level)
        shares = np.bincount(owner, minlength=len(self.rngs))
        noise = [sampling.draw_noise(rng, share, logits.shape[1]) for rng, share in zip(self.rngs, shares, strict=True)]
        noise = np.concatenate(noise) if len(noise) > 1 else noise[0]
        temperature = self.settings.temperature * (self.settings.detail if level else 1.0)
        return sampling.sample(logits, noise, temperature, self.settings.top_p, confidence=level == 0)

    def _logits(self, owner, place, known, level):
        scale = self.scales[owner]
        guided = np.flatnonzero(scale)
        hidden = np.concatenate([self.hidden[owner, place], self.hidden[self.second[owner[guided]], place[guided]]])
        against = np.arange(len(owner))
        against[guided] = len(owner) + np.arange(len(guided))
        return self.predictor.logits(hidden, np.concatenate([known, known[guided]]), level, against, scale)


def _ranks(order: str, rows: int, columns: int, rngs: Sequence[np.random.Generator]) -> np.ndarray | None:
    """Place of each cell in an order fixed beforehand, int [B, rows * columns]; None where the confidence decides."""
    if order == "confidence":
        return None
    if order == "random":
        return np.stack([rng.permutation(rows * columns) for rng in rngs])
    visits = sampling.halton_order if order == "halton" else sampling.raster_order
    return np.tile(np.argsort(visits(rows, columns)), (len(rngs), 1))
