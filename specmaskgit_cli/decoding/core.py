"""Parallel masked decoding with guidance, the way every sound and every edit is made.

MaskGIT (arXiv 2202.04200) with the ramped classifier-free guidance of SpecMaskGIT (arXiv 2406.17672), extended to
residual codes: the first level chooses which cells are decided at a step, the deeper levels follow there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from .orders import ORDERS
from .samplers import SAMPLERS
from .schedules import guidance_ramp
from .settings import DecodeSettings


class Predictor(Protocol):
    """What the core asks of a model; every runtime has these.

    Attributes:
        guidance: the largest guidance scale that the model applies itself, in one pass, when its condition says so;
            0 for a model that does not.
    """

    guidance: float

    def with_guidance(self, condition: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Conditions float32 [B, D] that tell the model to apply guidance scales, float32 [B], itself; asked for only
        where `guidance` is not 0."""

    def hidden(
        self, tokens: np.ndarray, mask: np.ndarray, condition: np.ndarray, dropped: np.ndarray, cells: np.ndarray
    ) -> np.ndarray:
        """The states of some cells of each grid.

        Args:
            tokens: int64 [B, rows, columns, levels].
            mask: bool [B, rows, columns], True = not decided yet.
            condition: float32 [B, D].
            dropped: bool [B], True = ignore the condition.
            cells: int64 [B, M], the cells wanted of each grid.

        Returns:
            float32 [B, M, width].
        """

    def logits(
        self, hidden: np.ndarray, codes: np.ndarray, level: int, against: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """Guided logits of a level.

        Args:
            hidden: float32 [K, width], states from `hidden`.
            codes: int64 [K, levels], known below `level`.
            level: the level to predict.
            against: int [M], for each of the first M rows of `hidden` the row it is guided away from.
            scale: float32 [M], the guidance scales.

        Returns:
            float32 [M, codebook size]: for each of the first M rows logits + scale * (logits - logits[against]).
        """


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

    Every item of the batch is decoded by its own mask, its own number of steps and its own generator, so that it comes
    out the same alone and in any batch, as far as the predictor's own arithmetic is the same for both.

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
    batch, levels = len(tokens), tokens.shape[-1]
    if mask.shape != tokens.shape[:3] or len(condition) != batch or len(rngs) != batch:
        raise ValueError(f"tokens {tokens.shape}, mask {mask.shape}, {len(condition)} conditions, {len(rngs)} rngs")
    grids, undecided = np.array(tokens, np.int64, order="C"), np.array(mask, bool, order="C")
    # Views, as both arrays are in C order: what is written through them is what the model sees at the next step.
    codes, masked = grids.reshape(batch, -1, levels), undecided.reshape(batch, -1)
    order = ORDERS[settings.order](settings, undecided, rngs)
    first = SAMPLERS[settings.sampler](settings.temperature, settings.top_p)
    deeper = SAMPLERS[settings.sampler](settings.temperature * settings.detail, settings.top_p)

    steps = max(map(len, order.plans), default=0)
    for step in range(steps):
        # Plan: what each item decides at this step, and how strongly it is guided.
        masked |= order.remask(step, codes, masked)
        codes[masked] = 0
        quota = np.array([plan[step] if step < len(plan) else 0 for plan in order.plans])
        if not quota.any():  # no pass is needed where nothing is decided
            continue
        scale = _guidance(settings, step, order.plans)

        # Predict: the states of the cells that can be decided, named by their `item` and `cell`, int [M] each.
        item, cell = order.candidates(masked, quota)
        states = _predict(predictor, grids, undecided, condition, negative, scale, item, cell)

        # Choose: a code of the first level for each candidate, and the candidates to decide.
        drawn = np.zeros((len(item), levels), np.int64)
        drawn[:, 0], confidence = first.draw(states.logits(drawn, 0), item, rngs)
        chosen = order.choose(step, item, cell, confidence, quota)
        states, drawn, item, cell = states[chosen], drawn[chosen], item[chosen], cell[chosen]

        # Commit: the deeper levels of the chosen cells, then they are decided.
        for level in range(1, levels):
            drawn[:, level], _ = deeper.draw(states.logits(drawn, level), item, rngs, confidence=False)
        codes[item, cell] = drawn
        masked[item, cell] = False
        if progress:
            progress(step + 1, steps)
    return grids


def _guidance(settings: DecodeSettings, step: int, plans: Sequence[np.ndarray]) -> np.ndarray:
    """The guidance scale of each item at a step, float32 [B]."""
    return np.array(
        [guidance_ramp(step, len(plan), settings.guidance, settings.onset, settings.guided) for plan in plans],
        np.float32,
    )


class _States:
    """The model's states of M cells, from which the logits of every level follow.

    Args:
        hidden: float32 [M + G, width], the states of the cells with the condition, then the second states, without it,
            of the G cells whose scale is not 0.
        scale: float32 [M], guidance scales.
    """

    def __init__(self, predictor: Predictor, hidden: np.ndarray, scale: np.ndarray):
        self.predictor, self.hidden, self.scale = predictor, hidden, scale
        self.guided = np.flatnonzero(scale)
        self.against = np.arange(len(scale))
        self.against[self.guided] = np.arange(len(scale), len(hidden))

    def __getitem__(self, chosen: np.ndarray) -> _States:
        """The states of some of the cells; `chosen` holds ascending indices into the M."""
        second = self.against[chosen[self.scale[chosen] != 0]]
        return _States(self.predictor, self.hidden[np.concatenate([chosen, second])], self.scale[chosen])

    def logits(self, codes: np.ndarray, level: int) -> np.ndarray:
        """Guided logits of a level, float32 [M, codebook size]; `codes` int64 [M, levels] are known below `level`."""
        known = np.concatenate([codes, codes[self.guided]])
        return self.predictor.logits(self.hidden, known, level, self.against, self.scale)


def _predict(
    predictor: Predictor,
    grids: np.ndarray,
    undecided: np.ndarray,
    condition: np.ndarray,
    negative: np.ndarray | None,
    scale: np.ndarray,
    item: np.ndarray,
    cell: np.ndarray,
) -> _States:
    """The states of the cells that `item` and `cell`, int [M] each, name; `scale` float32 [B] is of all items.

    Guided logits are `conditional + scale * (conditional - unconditional)`, the convention of MaskGIT's followers:
    scale 0 is the plain conditional model. A predictor that applies the scale itself needs one pass. Above the scale it
    can apply, and to steer away from a negative condition, there is a second pass, without the condition or with the
    negative one. Both are one call of `predictor.hidden`; the second is left out where the scale is 0.
    """
    items = np.unique(item)
    scale = scale[items]
    applied = scale * ((scale <= predictor.guidance) & (negative is None))  # by the predictor itself
    scale = scale - applied
    twice = scale != 0

    # The batch of the pass: a grid for each item, then another for those that have a second pass.
    passes = np.concatenate([items, items[twice]])
    dropped = np.arange(len(passes)) >= len(items) if negative is None else np.zeros(len(passes), bool)
    opposite = condition if negative is None else negative
    wanted = np.concatenate([condition[items], opposite[items[twice]]])
    if predictor.guidance:
        wanted = predictor.with_guidance(wanted, np.pad(applied, (0, len(passes) - len(items))))

    # The cells of an item fill its row from the left, as the rows of one array have one length.
    row, column = np.searchsorted(items, item), np.arange(len(item)) - np.searchsorted(item, item)
    cells = np.zeros((len(items), column.max() + 1), np.int64)
    cells[row, column] = cell
    hidden = predictor.hidden(grids[passes], undecided[passes], wanted, dropped, np.concatenate([cells, cells[twice]]))
    second = len(items) - 1 + np.cumsum(twice)  # row in `hidden` of an item's second pass
    guided = np.flatnonzero(twice[row])
    rows, columns = np.concatenate([row, second[row[guided]]]), np.concatenate([column, column[guided]])
    return _States(predictor, hidden[rows, columns], scale[row])
