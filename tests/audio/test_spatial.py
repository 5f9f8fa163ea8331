"""Where sounds are between their channels: measured, and given to mono sounds."""

import numpy as np
import pytest

from specmaskgit_cli.audio.filters import band
from specmaskgit_cli.audio.spatial import Frames, noise_like, spatial_image

RATE = 44100
MEAN = np.full(2, 0.5, np.float32)


def noises(count, seconds=3.0, seed=0, rate=RATE):
    return np.random.default_rng(seed).standard_normal((count, round(seconds * rate))).astype(np.float32) * 0.1


def decibels(x, like):
    return 20 * np.log10(np.std(x) / np.std(like))


def parts(x, low, high):
    """The mid and the side between two frequencies."""
    return band(np.stack([x[0] + x[1], x[0] - x[1]]) / 2, RATE, low, high)


@pytest.mark.parametrize("length", [1, 1023, 1024, 300_001])
def test_frames_give_a_sound_back(length):
    x = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    frames = Frames.at(RATE)
    made = frames.sounds(length, 2, lambda start, stop: frames.spectra(x, start, stop))
    np.testing.assert_allclose(made, x, atol=5e-6)


def test_noise_like_a_sound_is_as_loud_and_unrelated():
    (x,), frames, rng = noises(1), Frames.at(RATE), np.random.default_rng(1)
    x[RATE : 2 * RATE] *= 0.1
    made = frames.sounds(len(x), 2, lambda start, stop: noise_like(x, frames, start, stop, rng, 2))
    for second in range(3):
        span = np.s_[..., second * RATE + 2000 : (second + 1) * RATE - 2000]
        assert decibels(made[span], x[span]) == pytest.approx(0, abs=0.3)
    assert np.abs(np.corrcoef([x, *made]) - np.eye(3)).max() < 0.03


def test_a_new_part_is_as_wide_as_what_is_around_it_band_by_band():
    mid, side, new = noises(3)
    side = band(side[None], RATE, 1000, None)[0] + 0.1 * band(side[None], RATE, None, 900)[0]
    sound = np.stack([1.2 * mid + 0.7 * side, 0.8 * mid - 0.7 * side])
    known = np.ones(len(mid), bool)
    known[RATE : 2 * RATE] = False
    image = spatial_image(np.where(known, sound, 5.0).astype(np.float32), MEAN, RATE, known)
    made = image.render(new, np.random.default_rng(0))
    for low, high in ((100, 400), (1500, 3000), (4000, 8000), (9000, 16000)):
        for of_new, of_old in zip(parts(made, low, high), parts(sound, low, high), strict=True):
            assert decibels(of_new, of_old) == pytest.approx(0, abs=1)
    assert decibels(made[0], made[1]) == pytest.approx(decibels(sound[0], sound[1]), abs=0.5)
    np.testing.assert_allclose(made.mean(axis=0), new, atol=1e-5)  # the sides add up to nothing


@pytest.mark.parametrize("levels", [(1, 1), (1, -0.25), (0.5, 0), (1, 0.3, -0.2, 0)])
def test_one_sound_in_several_channels_stays_one(levels):
    mono, new = noises(2)
    sound = np.outer(levels, mono).astype(np.float32)
    mix = np.full(len(levels), 1 / len(levels), np.float32)
    made = spatial_image(sound, mix, RATE).render(new, np.random.default_rng(0))
    np.testing.assert_allclose(made, np.outer(np.divide(levels, np.mean(levels)), new), atol=1e-5)
    assert not made[np.equal(levels, 0)].any()


def test_a_mono_sound_and_silence_are_left_alone():
    (new,) = noises(1)
    for sound in (noises(1), np.zeros((2, RATE), np.float32)):
        mix = np.full(len(sound), 1 / len(sound), np.float32)
        made = spatial_image(sound, mix, RATE).render(new, np.random.default_rng(0))
        np.testing.assert_allclose(made, np.tile(new, (len(sound), 1)), atol=2e-6)


def test_it_follows_the_sound_and_goes_on_beyond_it_and_above_its_cut_off():
    mid, side, new = noises(3, 6.0)
    half = len(mid) // 2
    side[:half] = 0
    low = band(np.stack([mid + side, mid - side]), RATE, None, 6000)
    image = spatial_image(low, MEAN, RATE, top=6000)
    made = image.render(new, np.random.default_rng(0))
    middle, above = parts(made, 7000, 15000)
    assert decibels(above[: half - RATE], middle[: half - RATE]) < -20
    assert decibels(above[half + RATE :], middle[half + RATE :]) == pytest.approx(0, abs=1)
    later = image.render(new, np.random.default_rng(0), offset=len(mid))
    assert decibels(*parts(later, 1000, 4000)) == pytest.approx(0, abs=1)
