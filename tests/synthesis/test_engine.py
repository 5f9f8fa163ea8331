"""The engine: shares of progress, random generators, windows, and conditions of long grids."""

import types

import numpy as np
import pytest

from specmaskgit_cli.conditioning.condition import Condition, Layout
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.decoding.settings import DecodeSettings
from specmaskgit_cli.synthesis import engine as module
from specmaskgit_cli.synthesis.engine import Draw, Engine, Share, rng_of


def test_shares_report_as_parts_of_the_whole():
    told = []
    whole = Share(lambda *progress: told.append(progress))
    for sound in range(2):
        for window in range(3):
            for step in (1, 2):
                whole.part(sound, 2).part(window, 3)(step, 2)
    assert told == [(done, 12) for done in range(1, 13)]
    Share().part(0, 2)(1, 2)  # nobody is told


def test_a_seed_and_an_index_make_a_generator():
    assert rng_of(7).integers(1 << 30) == rng_of(7, 0).integers(1 << 30) == np.random.default_rng(7).integers(1 << 30)
    assert len({rng_of(seed, index).integers(1 << 30) for seed in (7, 8) for index in range(3)}) == 6


@pytest.fixture
def engine():
    checkpoint = types.SimpleNamespace(config=PRESETS["tiny"])
    return Engine(checkpoint, types.SimpleNamespace(config=PRESETS["tiny"]))


def test_windows_overlap_by_the_same_time_at_any_frame_rate(engine):
    for name in ("small", "full"):
        engine.config = PRESETS[name]
        seconds = engine.context * engine.config.column_samples / engine.config.mel.sample_rate
        assert seconds == pytest.approx(2.4, abs=0.1)
        size = engine.config.generator.max_columns
        assert engine.windows(size) == [(0, size)]
        low, high = engine.windows(size + 1)[1]
        assert (low, high) == (size - engine.context, size + 1)


def test_each_window_gets_its_part_of_the_contour(engine, monkeypatch):
    generator, layout = engine.config.generator, Layout(engine.config.generator)
    columns = generator.max_columns + 20
    contour = np.arange(columns * generator.contour_size, dtype=np.float32).reshape(columns, -1)
    condition = Condition(np.ones((1, generator.condition_dim), np.float32), None, contour)
    negative, packed = np.zeros((1, generator.condition_dim), np.float32), []

    def decode(runtime, tokens, mask, condition, settings, rngs, negative, progress):
        packed.append((condition[0], negative[0]))
        return tokens

    monkeypatch.setattr(module, "decode", decode)
    grid = engine.config.rows, columns
    draw = Draw(condition, negative, DecodeSettings(), rng_of(0))
    engine.fill(np.zeros((*grid, engine.config.tokenizer.levels), np.int64), np.ones(grid, bool), draw)
    for (low, high), (wanted, avoided) in zip(engine.windows(columns), packed, strict=True):
        found = wanted[layout.contour].reshape(generator.max_columns, -1)
        np.testing.assert_array_equal(found[: high - low], contour[low:high])
        np.testing.assert_array_equal(avoided[layout.contour], wanted[layout.contour])
        assert wanted[layout.embedding].all() and not avoided[layout.embedding].any()
