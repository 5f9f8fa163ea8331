"""Spectrograms brought to a timeline: onsets moved, levels set."""

import numpy as np
import pytest

from specmaskgit_cli.conditioning.contour import RANGE
from specmaskgit_cli.conditioning.timeline import Timeline
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.synthesis.timing import aligned, impose, levelled

CFG = PRESETS["full"].mel
BANDS, FLOOR = CFG.n_mels, -9.0


def mel_of(onsets, frames, decay=0.05):
    """Noise bursts that die away, over a floor."""
    level = np.full(frames, FLOOR)
    for onset in onsets:
        level[onset:] = np.maximum(level[onset:], -decay * np.arange(frames - onset))
    return (level + np.random.default_rng(0).normal(0, 0.3, (BANDS, frames))).astype(np.float32)


@pytest.mark.parametrize(("there", "wanted"), [((50, 150, 200), (44, 157, 196)), ((3,), (0,)), ((60, 71), (56, 73))])
def test_onsets_are_moved_into_place(there, wanted):
    moved = aligned(mel_of(there, 300), wanted, CFG)
    assert moved.shape == (BANDS, 300)
    for onset in wanted:
        level = moved.mean(axis=0)
        assert level[onset] - (level[onset - 2] if onset > 1 else FLOOR) > 0.4, onset


def test_what_is_in_place_or_has_no_onset_stays():
    mel = mel_of((50,), 200)
    np.testing.assert_array_equal(aligned(mel, (50,), CFG), mel)
    steady = mel_of((), 200)
    np.testing.assert_array_equal(aligned(steady, (50,), CFG), steady)
    np.testing.assert_array_equal(aligned(steady, (), CFG), steady)


def test_levels_follow_gently_and_what_should_not_sound_goes_at_once():
    frames = 4 * CFG.frames(0.5)
    steady = np.zeros((BANDS, frames), np.float32)
    loudness = np.full(frames, 1.0)
    loudness[frames // 2 :] = 1 - 0.5 / RANGE  # half a neper softer in its second half
    level = levelled(steady, loudness, CFG).mean(axis=0)
    assert level[: frames // 4].mean() - level[-frames // 4 :].mean() == pytest.approx(0.5, abs=0.1)
    assert np.abs(np.diff(level)).max() < 0.3
    loudness[: frames // 2] = 0
    level = levelled(steady, loudness, CFG).mean(axis=0)
    assert level[: frames // 2].max() < -4 and level[frames // 2 :].min() > -1.2
    assert levelled(steady - 11, loudness, CFG).min() >= np.log(CFG.log_clamp) - 1e-4


def test_a_sound_may_be_shorter_than_the_columns_of_its_timeline():
    timeline = Timeline(np.ones(320, np.float32), None, (10, 299))
    assert impose(mel_of((12,), 300), timeline, CFG).shape == (BANDS, 300)
