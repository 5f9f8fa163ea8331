"""Pieces of a sound that overlap, joined; and a sound without an end at one level."""

from __future__ import annotations

import numpy as np
import pytest

from specmaskgit_cli.audio.joining import Joiner
from specmaskgit_cli.audio.steady import LEVEL_DB, PEAK_DB, RISE_DB, Steady

RATE, OVERLAP = 22050, 4096


def joined(pieces) -> np.ndarray:
    joiner = Joiner(OVERLAP, RATE)
    return np.concatenate([*(joiner.add(piece) for piece in pieces), joiner.end()], axis=1)


@pytest.mark.parametrize("hz", [100, 441.3, 3000])
def test_a_tone_goes_on_in_phase(hz):
    time = np.arange(20000) / RATE
    rng = np.random.default_rng(0)
    pieces = [np.sin(2 * np.pi * (hz * time + rng.random()))[None].astype(np.float32) for _ in range(6)]
    whole = joined(pieces)[0]
    envelope = np.sqrt(np.convolve(np.square(whole), np.ones(441) / 441, "valid") * 2)
    assert envelope.min() > 0.93 and envelope.max() < 1.07  # without the shift it falls to 0.1
    assert np.abs(np.diff(whole)).max() <= 1.05 * 2 * np.pi * hz / RATE


def test_noise_keeps_its_power():
    rng = np.random.default_rng(1)
    pieces = [rng.standard_normal((2, 20000)).astype(np.float32) for _ in range(40)]
    whole = joined(pieces)
    assert whole.shape[1] == pytest.approx(20000 * 40 - 39 * OVERLAP, rel=0.02)
    joins = np.array([np.square(whole[:, at - 1500 : at + 1500]).mean() for at in range(17950, 600_000, 15904)])
    assert joins.mean() == pytest.approx(1, abs=0.1)


def test_one_piece_is_itself():
    piece = np.random.default_rng(2).standard_normal((1, 10000)).astype(np.float32)
    assert np.array_equal(joined([piece]), piece)


def levels(steady: Steady, pieces) -> np.ndarray:
    made = [*(steady.add(piece) for piece in pieces), steady.end(pieces[-1][:, :0])]
    return np.concatenate(made, axis=1)


def test_a_level_is_reached_at_once_and_then_followed_slowly():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((1, 20 * RATE)).astype(np.float32) * 0.01
    noise[:, 6 * RATE :] *= 2.5
    made = levels(Steady(RATE), np.split(noise, 10, axis=1))
    assert made.shape == noise.shape and np.abs(made).max() <= 10 ** (PEAK_DB / 20) + 1e-4
    decibels = [10 * np.log10(np.square(made[:, k * RATE : (k + 1) * RATE]).mean()) for k in range(20)]
    assert np.allclose(decibels[:6], LEVEL_DB, atol=1) and np.allclose(decibels[-3:], LEVEL_DB, atol=1)
    gain = made[0] / noise[0]
    quiet = np.abs(made[0]) < 0.3  # where the limiter has nothing to do
    steps = 20 * np.log10(np.maximum(gain[quiet][1:] / gain[quiet][:-1], 1e-9))
    assert np.abs(steps).max() < 0.2


def test_blocks_do_not_show():
    """The limiter gives the same, however the sound is cut."""
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((2, 4 * RATE)).astype(np.float32)
    whole = Steady(RATE)._limited(noise, 0)
    cut = Steady(RATE)
    parts = [cut._limited(noise[:, start : start + 5000], cut._reach) for start in range(0, 4 * RATE, 5000)]
    parts.append(cut._limited(noise[:, :0], 0))
    assert np.allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


def test_silence_is_not_blown_up():
    silence = np.zeros((1, RATE), np.float32)
    assert not levels(Steady(RATE), [silence] * 3).any()
    steady = Steady(RATE)
    steady.add(np.full((1, RATE), 0.1, np.float32))
    before = steady._decibels
    for _ in range(3):
        steady.add(silence)
    assert steady._decibels <= before + 3 * RISE_DB
