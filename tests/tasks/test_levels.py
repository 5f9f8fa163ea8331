"""New sound is as loud as the sound it joins, whatever the models make of it."""

import numpy as np
import pytest

from specmaskgit_cli import load
from specmaskgit_cli.audio.filters import lows
from specmaskgit_cli.audio.gain import held, limited, moving_power
from specmaskgit_cli.options import Box, ContinueOptions, ExtendOptions, InpaintOptions, VaryOptions
from specmaskgit_cli.tasks.levels import fitted, heard, level_of
from specmaskgit_cli.tasks.source import Source, sunk

RATE, TOP = 22050, 8000.0
FAST = {"steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), threads=1)


def noise(seconds, level=0.1, rate=RATE, seed=0):
    return (level * np.random.default_rng(seed).standard_normal((1, round(seconds * rate)))).astype(np.float32)


def tone(seconds, hertz, level=1.0, rate=RATE):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))[None].astype(np.float32)


def db(ratio):
    return 20 * np.log10(ratio)


def loudest(x, seconds=0.05):
    power = np.square(heard(x, RATE, TOP)).mean(axis=0)
    return np.sqrt(moving_power(power, round(seconds * RATE)).max())


def test_a_gain_is_held_around_the_places_that_need_it():
    needed = np.ones(200)
    needed[100] = 0.25
    gain = held(needed, 10)
    assert gain[100] == pytest.approx(0.25) and (gain <= needed + 1e-6).all() and len(gain) == 200
    assert (gain[:80] == 1).all() and (gain[121:] == 1).all() and np.abs(np.diff(gain)).max() < 0.05
    np.testing.assert_allclose(held(np.full(5, 0.5), 40), 0.5)
    np.testing.assert_allclose(moving_power(np.array([1.0, 2, 3, 4, 5]), 3), [2, 2, 3, 4, 4])


def test_what_is_added_stays_within_the_room_for_it():
    base, added = tone(0.5, 10, 0.95), tone(0.5, 3000, 0.4)
    made, gain = limited(added, RATE, 1 - np.abs(base))
    assert np.abs(base + made).max() <= 1 + 1e-6 and gain.min() < 0.3 and gain.max() == 1
    assert limited(added, RATE, 1.0)[0] is added


@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_nothing_new_is_louder_than_the_loudest_there_was(factor):
    old = noise(3, 0.04)
    old[:, RATE : 2 * RATE] *= 5
    new = noise(2, 0.04, seed=1)
    new[:, :RATE] *= 10
    made, notes = fitted(factor * new, old, RATE, TOP)
    assert -2 < db(loudest(made) / loudest(old)) < 2 and len(notes) == 1 and "turned down" in notes[0]
    assert np.abs(made).max() <= 1 and np.abs(made).max() < 1.7 * np.abs(old).max()
    quiet, notes = fitted(new[:, RATE:], old, RATE, TOP)
    np.testing.assert_array_equal(quiet, new[:, RATE:])
    assert not notes


def test_nothing_new_is_softer_than_the_quiet_moments_there_were():
    assert db(level_of(fitted(noise(1, 1e-5, seed=1), noise(3), RATE, TOP)[0]) / level_of(noise(3))) > -2
    assert not fitted(noise(1), np.zeros((1, RATE), np.float32), RATE, TOP)[0].any()  # nothing joins silence


def test_a_prompt_in_silence_or_for_all_of_a_sound_has_a_level():
    made, notes = fitted(noise(1, 1e-6), np.zeros((1, RATE), np.float32), RATE, TOP, prompted=True)
    assert db(np.abs(made).max()) == pytest.approx(-1) and not notes
    replaced = noise(1, 0.05, seed=1)
    for level in (1e-4, 3.0):
        made, _ = fitted(noise(1, level), replaced[:, :0], RATE, TOP, prompted=True, replaced=replaced)
        assert db(loudest(made) / loudest(replaced)) == pytest.approx(0, abs=1.6)


def test_offsets_and_rumble_are_not_heard_but_go_on():
    sound = noise(2, 0.01)
    for under in (np.full_like(sound, 0.2), tone(2, 10, 0.2)):
        assert db(level_of(heard(sound + under, RATE, TOP)) / level_of(heard(sound, RATE, TOP))) < 0.4
    on = sunk(np.full((1, RATE), 0.2, np.float32) + tone(1, 12.25, 0.1), RATE, RATE)
    assert abs(on[0, 0] - 0.2) < 0.11 and np.allclose(on[:, RATE // 2 :], 0.2, atol=0.01)


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("seconds", [0.06, 0.3, 2.0])
def test_continuations_of_short_and_shifted_sounds(pipe, seconds, offset):
    sound = noise(seconds, 0.02) + np.float32(offset)
    (longer,) = pipe.make(ContinueOptions("x", 1, **FAST), source=Source(sound, RATE))
    new = longer.samples[:, sound.shape[1] :]
    assert db(loudest(new[:, 300:-300]) / loudest(sound)) < 2.5
    assert new[:, 300:-300].mean() == pytest.approx(offset, abs=0.01)
    assert np.abs(np.diff(longer.samples[:, :-300], axis=1)).max() < 0.25


def test_a_gap_keeps_the_offset_around_it(pipe):
    sound = noise(2, 0.02) + np.float32(0.3)
    (made,) = pipe.make(InpaintOptions("x", boxes=(Box(0.8, 1.4),), **FAST), source=Source(sound, RATE))
    gap = made.samples[:, round(0.8 * RATE) : round(1.4 * RATE)]
    assert gap.mean() == pytest.approx(0.3, abs=0.01) and db(loudest(gap) / loudest(sound)) < 2.5
    assert np.abs(lows(made.samples, RATE) - 0.3).max() < 0.01


def test_edits_of_loud_sounds_do_not_clip(pipe):
    loud = np.clip(noise(2, 0.5), -0.999, 0.999)
    dull = np.cumsum(noise(2, 0.05), axis=1)
    dull *= 0.999 / np.abs(dull).max()
    asked = [
        (ContinueOptions("x", 2, **FAST), loud),
        (InpaintOptions("x", boxes=(Box(0, 1), Box(1.2, 1.6, 500, 3000)), **FAST), loud),
        (VaryOptions("x", 0.6, **FAST), loud),
        (ExtendOptions("x", cutoff=3000, **FAST), dull),
    ]
    for options, sound in asked:
        (made,) = pipe.make(options, source=Source(sound, RATE))
        assert np.abs(made.samples).max() <= 1 + 1e-6, options
        assert not any("clip" in note for note in made.warnings)


def test_a_prompt_in_silence_is_heard(pipe):
    silent = np.zeros((1, 2 * RATE), np.float32)
    (made,) = pipe.make(InpaintOptions("x", boxes=(Box(0.5, 1.5),), prompt="rain", **FAST), source=Source(silent, RATE))
    assert db(np.abs(made.samples).max()) == pytest.approx(-1, abs=3)
