"""The decoding core against a predictor made of numpy, whose every call is recorded."""

from __future__ import annotations

import numpy as np
import pytest

from specmaskgit_cli.decoding import settings
from specmaskgit_cli.decoding.core import decode
from specmaskgit_cli.decoding.orders import ORDERS, Revisit, best, halton_order
from specmaskgit_cli.decoding.samplers import SAMPLERS, Greedy, Nucleus, keep_top_p
from specmaskgit_cli.decoding.schedules import SCHEDULES, Cosine, guidance_ramp, noise_ramp
from specmaskgit_cli.decoding.settings import DecodeSettings

ROWS, COLUMNS, LEVELS, CODES, DIM = 5, 7, 3, 12, 4


def guided(logits, against, scale):
    """What every predictor does with the logits of its rows."""
    own = logits[: len(scale)]
    return own + scale[:, None] * (own - logits[against])


class FakePredictor:
    """Hidden states depend on every token of the grid, the mask and the condition; logits on the codes before."""

    guidance = 0.0

    def __init__(self, levels: int = LEVELS):
        rng = np.random.default_rng(5)
        self.position = rng.normal(size=(ROWS * COLUMNS, 8)).astype(np.float32)
        self.code = rng.normal(size=(levels, CODES, 8)).astype(np.float32)
        self.condition = rng.normal(size=(DIM, 8)).astype(np.float32)
        self.out = rng.normal(size=(levels, 8, CODES)).astype(np.float32)
        self.hidden_calls, self.logits_calls, self.cells_calls = [], [], []

    def hidden(self, tokens, mask, condition, dropped, cells):
        self.hidden_calls.append((tokens.copy(), mask.copy(), condition.copy(), dropped.copy()))
        self.cells_calls.append(cells.copy())
        rows = []
        for grid, undecided, embedding, drop in zip(tokens, mask, condition, dropped, strict=True):
            flat = grid.reshape(-1, grid.shape[-1])
            seen = sum(self.code[level][flat[:, level]] for level in range(flat.shape[1]))
            seen = np.where(undecided.reshape(-1, 1), 0, seen).mean(axis=0)
            rows.append(np.tanh(self.position + seen + (0 if drop else embedding @ self.condition)))
        return np.take_along_axis(np.stack(rows).astype(np.float32), cells[..., None], 1)

    def logits(self, hidden, codes, level, against, scale):
        self.logits_calls.append((hidden.copy(), codes.copy(), level, len(scale)))
        before = sum((self.code[earlier][codes[:, earlier]] for earlier in range(level)), np.zeros_like(hidden))
        # Row by row: a product of another shape may differ in its last bit.
        return guided(np.stack([row @ self.out[level] for row in np.tanh(hidden + before)]) * 2, against, scale)


def case(batch: int = 3, seed: int = 0, share: float = 0.6, levels: int = LEVELS):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, CODES, (batch, ROWS, COLUMNS, levels))
    mask = rng.random((batch, ROWS, COLUMNS)) < share
    condition = rng.normal(size=(batch, DIM)).astype(np.float32)
    return tokens, mask, condition


def generators(*seeds: int):
    return [np.random.default_rng(seed) for seed in seeds]


def counts(masked: int, steps: int):
    return Cosine().counts(masked, steps, np.random.default_rng())


@pytest.mark.parametrize(
    "names, registry",
    [(settings.ORDERS, ORDERS), (settings.SCHEDULES, SCHEDULES), (settings.SAMPLERS, SAMPLERS)],
)
def test_every_name_has_its_strategy(names, registry):
    assert names == tuple(registry)
    assert len(set(registry.values())) == len(names)


@pytest.mark.parametrize("steps", [1, 2, 3, 16, 64, 256])
def test_counts_cover_every_token_and_never_fall(steps):
    for masked in range(301):
        plan = counts(masked, steps)
        assert len(plan) == min(masked, steps)
        assert plan.sum() == masked
        assert (plan >= 1).all()
        assert (np.diff(plan) >= 0).all()


def test_counts_follow_the_cosine():
    remaining = 265 - np.cumsum(counts(265, 16))
    assert np.abs(remaining - 265 * np.cos(np.pi / 2 * np.arange(1, 17) / 16)).max() < 4


def test_ramps():
    assert [guidance_ramp(step, 4, 3.0) for step in range(4)] == [0, 1, 2, 3]
    assert [noise_ramp(step, 4, 4.5) for step in range(4)] == [4.5, 3, 1.5, 0]
    assert [guidance_ramp(step, 3, 4.0, onset=0.5) for step in range(3)] == [2, 3, 4]
    assert [guidance_ramp(step, 4, 4.0, onset=1, guided=0.5) for step in range(4)] == [4, 4, 0, 0]
    assert guidance_ramp(0, 1, 3.0) == guidance_ramp(0, 1, 3.0, onset=1, guided=0) == 3
    assert noise_ramp(0, 1, 4.5) == 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_only_masked_tokens_change(order, guidance):
    tokens, mask, condition = case()
    given = tokens.copy(), mask.copy(), condition.copy()
    settings = DecodeSettings(steps=6, guidance=guidance, order=order)
    out = decode(FakePredictor(), tokens, mask, condition, settings, generators(1, 2, 3))
    assert (out[~mask] == tokens[~mask]).all()
    assert (out[mask] != tokens[mask]).mean() > 0.5
    assert out.min() >= 0
    assert out.max() < CODES
    for before, after in zip(given, (tokens, mask, condition), strict=True):
        assert (before == after).all()


def test_nothing_masked_asks_nothing():
    tokens, mask, condition = case()
    predictor = FakePredictor()
    out = decode(predictor, tokens, np.zeros_like(mask), condition, DecodeSettings(), generators(1, 2, 3))
    assert (out == tokens).all()
    assert out is not tokens
    assert not predictor.hidden_calls


def test_masked_tokens_are_hidden_from_the_model():
    tokens, mask, condition = case()
    other = np.where(mask[..., None], (tokens + 1) % CODES, tokens)
    predictor = FakePredictor()
    outs = [decode(predictor, t, mask, condition, DecodeSettings(), generators(1, 2, 3)) for t in (tokens, other)]
    assert (outs[0] == outs[1]).all()
    for seen, undecided, _, _ in predictor.hidden_calls:
        assert (seen[undecided] == 0).all()


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_equals_its_items_alone(order):
    tokens, mask, condition = case(4)
    mask[1] = True
    mask[2] = False
    mask[3] = False
    mask[3, 2, 4] = True  # one token: a single step, while the others take six
    settings = DecodeSettings(steps=6, order=order)
    together = decode(FakePredictor(), tokens, mask, condition, settings, generators(1, 2, 3, 4))
    for item in range(4):
        one = slice(item, item + 1)
        alone = decode(FakePredictor(), tokens[one], mask[one], condition[one], settings, generators(item + 1))
        assert (alone[0] == together[item]).all()


def test_seeds_decide():
    tokens, mask, condition = case()
    outs = [
        decode(FakePredictor(), tokens, mask, condition, DecodeSettings(), generators(*seeds))
        for seeds in ((1, 2, 3), (1, 2, 3), (4, 5, 6))
    ]
    assert (outs[0] == outs[1]).all()
    assert (outs[0] != outs[2]).any()


def test_memory_layout_does_not_matter():
    tokens, _, condition = case()
    mask = np.broadcast_to(np.arange(COLUMNS) > 2, tokens.shape[:3])
    outs = [
        decode(FakePredictor(), t, m, condition, DecodeSettings(steps=4), generators(1, 2, 3))
        for t, m in ((tokens, mask.copy()), (np.asfortranarray(tokens), mask))
    ]
    assert (outs[0] == outs[1]).all()


def test_each_step_decides_as_many_as_planned():
    tokens, mask, condition = case()
    predictor, reported = FakePredictor(), []
    decode(
        predictor,
        tokens,
        mask,
        condition,
        DecodeSettings(steps=6, guidance=0),
        generators(1, 2, 3),
        progress=lambda done, total: reported.append((done, total)),
    )
    left = np.array([undecided.sum(axis=(1, 2)) for _, undecided, _, _ in predictor.hidden_calls])
    for item in range(3):
        assert (-np.diff(left[:, item], append=0) == counts(mask[item].sum(), 6)).all()
    assert reported == [(step, 6) for step in range(1, 7)]


def test_first_level_is_evaluated_for_masked_positions_only():
    tokens, mask, condition = case(1)
    predictor = FakePredictor()
    decode(predictor, tokens, mask, condition, DecodeSettings(steps=6, guidance=0), generators(1))
    rows = [rows for _, _, level, rows in predictor.logits_calls if level == 0]
    assert rows == [undecided.sum() for _, undecided, _, _ in predictor.hidden_calls]
    deeper = [rows for _, _, level, rows in predictor.logits_calls if level == 2]
    assert deeper == counts(mask.sum(), 6).tolist()


@pytest.mark.parametrize("order", ["confidence", "raster"])
def test_states_are_asked_for_where_codes_will_be_drawn(order):
    tokens, mask, condition = case(2)
    predictor = FakePredictor()
    settings = DecodeSettings(steps=6, guided=0.5, order=order)
    out = decode(predictor, tokens, mask, condition, settings, generators(1, 2))
    assert (out[~mask] == tokens[~mask]).all()
    left = [sum(counts(mask[0].sum(), 6)[step:]) for step in range(6)]
    for step, ((_, undecided, _, dropped), cells) in enumerate(
        zip(predictor.hidden_calls, predictor.cells_calls, strict=True)
    ):
        assert (cells[:2] == cells[2:]).all() if step < 3 else len(dropped) == 2
        size = left[step] if order == "confidence" else counts(mask[0].sum(), 6)[step]
        assert undecided[0].reshape(-1)[cells[0, :size]].all() and len(set(cells[0, :size])) == size


def test_no_guidance_makes_no_second_pass():
    tokens, mask, condition = case()
    predictor = FakePredictor()
    decode(predictor, tokens, mask, condition, DecodeSettings(steps=6, guidance=0), generators(1, 2, 3))
    assert len(predictor.hidden_calls) == 6
    assert all(not dropped.any() and len(dropped) == 3 for *_, dropped in predictor.hidden_calls)


def test_guidance_adds_one_unconditional_row_an_item_after_the_first_step():
    tokens, mask, condition = case()
    predictor = FakePredictor()
    decode(predictor, tokens, mask, condition, DecodeSettings(steps=6, onset=0.0, guided=1.0), generators(1, 2, 3))
    assert [dropped.tolist() for *_, dropped in predictor.hidden_calls] == (
        [[False] * 3] + [[False] * 3 + [True] * 3] * 5
    )


class TwoWishes:
    """Prefers code 1 with the first condition, code 2 with the second, and neither without."""

    guidance = 0.0

    def hidden(self, tokens, mask, condition, dropped, cells):
        wish = np.where(dropped[:, None], 0, condition).astype(np.float32)
        return np.repeat(wish[:, None], cells.shape[1], axis=1)

    def logits(self, hidden, codes, level, against, scale):
        out = np.zeros((len(hidden), 8), np.float32)
        out[:, 1:3] = hidden
        return guided(out, against, scale)


def wishes(guidance, negative=None, code=1):
    mask = np.ones((4, 5, 53), bool)
    condition = np.tile(np.float32([1, 0]), (4, 1))
    # Confidence would favour likely draws.
    settings = DecodeSettings(guidance=guidance, guided=1.0, order="random")
    out = decode(TwoWishes(), np.zeros((4, 5, 53, 1), int), mask, condition, settings, generators(1, 2, 3, 4), negative)
    return (out == code).mean()


def test_guidance_pulls_towards_the_condition():
    shares = [wishes(guidance) for guidance in (0, 3, 10)]
    assert abs(shares[0] - np.e / (np.e + 7)) < 0.05
    assert shares[0] + 0.1 < shares[1] < shares[2] - 0.05


def test_negative_pushes_its_own_wish_away():
    negative = np.tile(np.float32([0, 1]), (4, 1))
    assert wishes(6, negative, code=2) < 0.6 * wishes(6, code=2)


def test_negative_rows_are_not_dropped():
    tokens, mask, condition = case()
    predictor = FakePredictor()
    settings = DecodeSettings(steps=6, guided=1.0)
    decode(predictor, tokens, mask, condition, settings, generators(1, 2, 3), negative=-condition)
    _, _, conditions, dropped = predictor.hidden_calls[-1]
    assert not dropped.any()
    assert (conditions == np.concatenate([condition, -condition])).all()


class ToldPredictor(FakePredictor):
    """Has guidance up to 2.5 for a number of its condition, which it heeds as it does the rest."""

    guidance = 2.5

    def with_guidance(self, condition, scale):
        return np.column_stack([condition, scale])

    def hidden(self, tokens, mask, condition, dropped, cells):
        out = super().hidden(tokens, mask, condition[:, :-1], dropped, cells) + condition[:, -1, None, None]
        self.hidden_calls[-1] = tokens, mask, condition.copy(), dropped
        return out


@pytest.mark.parametrize("guidance, limit", [(2.5, 6), (4.0, 3)])
def test_a_model_that_can_be_told_guidance_is_told_in_one_pass_up_to_its_limit(guidance, limit):
    tokens, mask, condition = case()
    predictor, settings = ToldPredictor(), DecodeSettings(steps=6, guidance=guidance, onset=0.0, guided=1.0)
    decode(predictor, tokens, mask, condition, settings, generators(1, 2, 3))
    for step, (_, _, conditions, dropped) in enumerate(predictor.hidden_calls):
        scale = guidance_ramp(step, 6, guidance)
        one = step <= limit
        assert dropped.tolist() == [False] * 3 + ([] if one else [True] * 3)
        assert conditions.dtype == np.float32
        assert (conditions[:, -1] == (np.float32(scale) if one else 0)).all()
        assert (conditions[:, :-1] == (condition if one else np.concatenate([condition] * 2))).all()


def test_a_model_that_can_be_told_guidance_steers_away_from_something_in_two_passes():
    tokens, mask, condition = case()
    predictor, settings = ToldPredictor(), DecodeSettings(steps=6, guidance=2, onset=1.0, guided=0.5)
    decode(predictor, tokens, mask, condition, settings, generators(1, 2, 3), negative=-condition)
    for _, _, conditions, dropped in predictor.hidden_calls[:3]:
        assert not dropped.any()
        assert (conditions == np.pad(np.concatenate([condition, -condition]), ((0, 0), (0, 1)))).all()
    for _, _, conditions, _ in predictor.hidden_calls[3:]:
        assert (conditions == np.pad(condition, ((0, 0), (0, 1)))).all()


def test_deeper_levels_follow_the_sampled_prefix():
    class Chain:
        """Level 0 is free; every deeper level is the one before plus 1, for certain."""

        guidance = 0.0

        def hidden(self, tokens, mask, condition, dropped, cells):
            return np.zeros((*cells.shape, 1), np.float32)

        def logits(self, hidden, codes, level, against, scale):
            if level == 0:
                return np.zeros((len(scale), CODES), np.float32)
            every = np.float32(100) * np.eye(CODES, dtype=np.float32)[(codes[:, level - 1] + 1) % CODES]
            return guided(every, against, scale)

    tokens, mask, condition = case()
    out = decode(Chain(), tokens, mask, condition, DecodeSettings(steps=4), generators(1, 2, 3))
    drawn = out[mask]
    assert len(np.unique(drawn[:, 0])) > 4
    for level in (1, 2):
        assert (drawn[:, level] == (drawn[:, 0] + level) % CODES).all()


def test_sampling_follows_the_softmax():
    item, rngs = np.zeros(20000, int), generators(0)
    logits = np.float32([0, 1, 2, -3])
    probabilities = np.exp(logits) / np.exp(logits).sum()
    many = np.tile(logits, (20000, 1))
    codes, confidence = Nucleus().draw(many, item, rngs)
    assert np.abs(np.bincount(codes, minlength=4) / len(codes) - probabilities).max() < 0.015
    assert np.allclose(confidence, np.log(probabilities)[codes], atol=1e-5)
    cold, _ = Nucleus(temperature=0.05).draw(many, item, rngs)
    assert (cold == 2).mean() > 0.999


def test_top_p_keeps_the_smallest_sufficient_set():
    logits = np.log(np.float32([[0.1, 0.5, 0.15, 0.25], [0.97, 0.01, 0.01, 0.01]]))
    assert np.isfinite(keep_top_p(logits, 0.7)).tolist() == [[False, True, False, True], [True, False, False, False]]
    assert np.isfinite(keep_top_p(logits, 1e-9)).sum(axis=1).tolist() == [1, 1]
    many = np.repeat(logits[:1], 2000, axis=0)
    codes, _ = Nucleus(top_p=0.7).draw(many, np.zeros(2000, int), generators(0))
    assert set(codes) == {1, 3}


def test_greedy_takes_the_most_probable_code_whatever_the_seed():
    logits = np.random.default_rng(1).normal(size=(50, 9)).astype(np.float32)
    codes, confidence = Greedy(temperature=3.0, top_p=0.1).draw(logits, np.zeros(50, int), generators(0))
    assert (codes == logits.argmax(axis=1)).all()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(confidence, np.log(probabilities.max(axis=1)), atol=1e-5)
    tokens, mask, condition = case()
    how = DecodeSettings(steps=3, order="raster", sampler="greedy")
    outs = [
        decode(FakePredictor(), tokens, mask, condition, how, generators(*seeds)) for seeds in ((1, 2, 3), (4, 5, 6))
    ]
    assert (outs[0] == outs[1]).all()


def test_best_takes_the_quota_of_each_item():
    score, item = np.array([1.0, 3, 2, 5, 5, 4]), np.array([0, 0, 0, 2, 2, 2])
    assert best(score, item, np.array([2, 0, 1])).tolist() == [1, 2, 3]


class UnsureOfSome:
    """Certain of code 3 in every cell but those of `unsure`, where all codes are equally likely."""

    guidance = 0.0

    def __init__(self, unsure):
        self.unsure, self.masks = unsure, []

    def hidden(self, tokens, mask, condition, dropped, cells):
        self.masks.append(mask.copy())
        return np.isin(cells, self.unsure)[..., None].astype(np.float32)

    def logits(self, hidden, codes, level, against, scale):
        sure = np.float32(50) * (np.arange(CODES) == 3)
        return guided(np.where(hidden > 0, np.float32(0), sure), against, scale)


def test_revisit_masks_the_least_sure_cells_again_for_the_last_step():
    tokens, mask, condition = case(1)
    masked = np.flatnonzero(mask)
    unsure = masked[:: round(1 / Revisit.SHARE)]  # as many as are revisited
    predictor = UnsureOfSome(unsure)
    how = DecodeSettings(steps=4, guidance=0, order="revisit")
    out = decode(predictor, tokens, mask, condition, how, generators(1))
    assert [left.sum() for left in predictor.masks[:-1]] == np.cumsum(counts(mask.sum(), 3)[::-1])[::-1].tolist()
    assert np.flatnonzero(predictor.masks[-1]).tolist() == unsure.tolist()
    assert (out[~mask] == tokens[~mask]).all()
    assert (out.reshape(-1, LEVELS)[np.setdiff1d(masked, unsure)] == 3).all()


def test_revisit_with_one_step_has_nothing_to_revisit():
    tokens, mask, condition = case()
    outs = [
        decode(FakePredictor(), tokens, mask, condition, DecodeSettings(steps=1, order=order), generators(1, 2, 3))
        for order in ("confidence", "revisit")
    ]
    assert (outs[0] == outs[1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (5, 14), (5, 53)])
def test_halton_visits_every_cell_once(shape):
    order = halton_order(*shape)
    assert sorted(order) == list(range(shape[0] * shape[1]))


def test_halton_spreads():
    rows, columns = np.divmod(halton_order(5, 53)[:16], 53)
    assert set(rows) == set(range(5))
    assert (np.histogram(columns, bins=4, range=(0, 53))[0] >= 3).all()


def test_shapes_that_do_not_fit_are_refused():
    tokens, mask, condition = case()
    with pytest.raises(ValueError, match="rngs"):
        decode(FakePredictor(), tokens, mask, condition, DecodeSettings(), generators(1))
    with pytest.raises(ValueError, match="order"):
        DecodeSettings(order="zigzag")


def test_deeper_levels_have_a_temperature_of_their_own():
    class Flat:
        """Code 0 is somewhat likelier than the rest, on every level."""

        guidance = 0.0

        def hidden(self, tokens, mask, condition, dropped, cells):
            return np.zeros((*cells.shape, 1), np.float32)

        def logits(self, hidden, codes, level, against, scale):
            return np.float32(1.0) * (np.arange(CODES) == 0) + np.zeros((len(scale), 1), np.float32)

    tokens, mask, condition = case(batch=8)
    seeds = range(8)
    settings = DecodeSettings(steps=4, guidance=0, detail=0.1)
    drawn = decode(Flat(), tokens, mask, condition, settings, generators(*seeds))[mask]
    assert (drawn[:, 0] == 0).mean() < 0.5
    assert (drawn[:, 1:] == 0).mean() > 0.99
