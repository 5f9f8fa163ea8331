"""Sound without an end: blocks that join, at one level, the same for the same seed, without growing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from specmaskgit_cli import load
from specmaskgit_cli.audio.steady import PEAK_DB
from specmaskgit_cli.errors import UsageError


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), threads=1)


def taken(stream, count) -> list[np.ndarray]:
    return [next(stream) for _ in range(count)]


def test_the_same_seed_makes_the_same_blocks_and_no_block_comes_twice(pipe):
    first, again, other = (taken(pipe.stream("rain", seed=seed), 4) for seed in (5, 5, 6))
    assert all(np.array_equal(one, same) for one, same in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    size = min(block.shape[1] for block in first)
    alike = np.corrcoef([block[0, :size] for block in first]) - np.eye(4)
    assert np.abs(alike).max() < 0.5
    assert all(block.dtype == np.float32 and len(block) == 1 for block in first)


def test_blocks_join_without_steps(pipe):
    blocks = taken(pipe.stream("rain", seed=1), 8)
    whole, ends = np.concatenate(blocks, axis=1)[0], np.cumsum([block.shape[1] for block in blocks])[:-1]
    steps = np.abs(np.diff(whole, 2))
    for end in ends:
        around = steps[end - 2000 : end + 2000]
        assert steps[end - 3 : end + 2].max() <= np.quantile(around, 0.9999) + 1e-4
    assert np.abs(whole).max() <= 10 ** (PEAK_DB / 20) + 1e-4


@pytest.mark.parametrize(("seconds", "channels"), [(0.2, 1), (2.03, 2), (4.1, 1)])
def test_it_is_as_long_as_asked_for(pipe, seconds, channels):
    stream = pipe.stream("rain", seed=2, seconds=seconds, channels=channels)
    whole = np.concatenate(list(stream), axis=1)
    assert whole.shape == (channels, round(seconds * stream.rate))
    assert np.abs(whole[:, [0, -1]]).max() < 1e-3 < np.abs(whole).max()
    assert stream.end().shape == (channels, 0)


def test_the_mid_of_two_channels_is_the_sound_in_mono(pipe):
    mono, both = (taken(pipe.stream("rain", seed=3, channels=channels, width=0.0), 1)[0] for channels in (1, 2))
    assert np.array_equal(both[0], both[1]) and np.allclose(both[0], mono[0], atol=1e-5)
    wide = taken(pipe.stream("rain", seed=3, channels=2, width=1.0), 2)[1]
    assert not np.allclose(wide[0], wide[1])


def test_it_can_be_ended_early(pipe):
    stream = pipe.stream("rain", seed=4)
    block = next(stream)
    last = stream.end()
    assert 0.1 * stream.rate < last.shape[1] < block.shape[1] and abs(last[0, -1]) < 1e-3
    assert abs(last[0, 0] - block[0, -1]) < 0.2
    assert list(stream) == [] and stream.end().shape[1] == 0


def test_another_prompt_changes_what_follows(pipe):
    stream, still = pipe.stream("rain", seed=7), pipe.stream("rain", seed=7)
    before = taken(stream, 2)
    assert all(np.array_equal(one, same) for one, same in zip(before, taken(still, 2), strict=True))
    stream.turn("church bell")
    assert not np.array_equal(next(stream), next(still))
    known = stream._plan._condition.embedding
    assert np.allclose(known, pipe.engine.prompts.text("church bell"))
    with pytest.raises(UsageError, match="prompt is empty"):
        stream.turn(" ")
    next(stream)


def held(thing, seen) -> int:
    """Bytes of all arrays that an object holds."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes if thing.base is None else max(thing.nbytes, thing.base.nbytes)
    if isinstance(thing, (tuple, list)) or type(thing).__name__ == "deque":
        return sys.getsizeof(thing) + sum(held(item, seen) for item in thing)
    return sum(held(item, seen) for item in vars(thing).values()) if hasattr(thing, "__dict__") else 0


def test_what_is_past_is_forgotten(pipe):
    stream, sizes = pipe.stream("rain", seed=8), []
    engine = {id(pipe.engine), id(pipe.engine.prompts), id(stream._plan._text)}
    for _ in range(14):
        next(stream)
        sizes.append(held(stream, set(engine)))
        assert stream._tokens.shape[1] <= stream._kept
        assert len(stream._plan._condition.contour) <= stream._kept + pipe.engine.prompts.bank.columns
    assert max(sizes[7:]) <= max(sizes[:7])


@pytest.mark.parametrize(("options", "words"), [({"num": 2}, "num is 2"), ({"seconds": 0.1}, "seconds is 0.1")])
def test_what_a_stream_cannot_be(pipe, options, words):
    with pytest.raises(UsageError, match=words):
        pipe.stream("rain", **options)
