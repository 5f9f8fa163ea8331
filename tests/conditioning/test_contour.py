"""Contours: what they say of a sound, and that sketches are followed."""

from dataclasses import replace

import numpy as np
import pytest

from specmaskgit_cli.conditioning.contour import (
    BRIGHTNESS,
    LIMIT,
    RANGE,
    flagged,
    follow,
    from_bytes,
    smoothed,
    to_bytes,
)
from specmaskgit_cli.config.limits import check_config
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.spectrogram.mel import log_mel

CFG, PATCH, STEPS = MelConfig(), 16, 4
BANDS = CFG.bands(BRIGHTNESS)


def test_loudness_is_told_against_the_loudest_moment():
    mel = np.full((2, 6, 3 * PATCH), -9.0, np.float32)
    mel[:, :, PATCH : PATCH + 4] = 1.0  # the first moment of the second column
    mel[:, :, PATCH + 4 : PATCH + 8] = 1.0 - RANGE / 4
    found = follow(mel, CFG, PATCH, STEPS)
    assert found.shape == (2, 3, 2 * STEPS) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, 1, :STEPS], [1, 0.75, 0, 0], atol=1e-5)
    assert not found[:, [0, 2]].any()  # 10 nats below: silent, and so not bright either
    np.testing.assert_allclose(follow(mel - 2, CFG, PATCH, STEPS), found, atol=1e-5)


def test_brightness_is_told_against_the_mean_of_the_sound():
    mel = np.full((1, 20, 2 * PATCH), -20.0, np.float32)
    mel[0, 4, :PATCH] = mel[0, 12, PATCH:] = 0.0
    np.testing.assert_allclose(
        follow(mel, CFG, PATCH, STEPS)[0, :, STEPS:], [[-4 / BANDS] * 4, [4 / BANDS] * 4], atol=1e-4
    )
    mel[0, 4, :PATCH] = 1.0
    low, high = follow(mel, CFG, PATCH, STEPS)[0, :, STEPS]
    assert high - low == pytest.approx(8 / BANDS, abs=1e-4) and high > -low  # the mean goes by energy


def test_the_contour_of_a_sound_moves_with_it():
    rng = np.random.default_rng(0)
    wave = np.zeros(12 * 4096, np.float32)
    wave[4096 * 5 : 4096 * 7] = rng.standard_normal(2 * 4096) * 0.2
    loudness = follow(log_mel(wave, CFG)[None], CFG, PATCH, STEPS)[0, :, :STEPS]
    assert loudness[5:7].min() > 0.9 and loudness[:4].max() == loudness[8:].max() == 0
    for silent in (np.zeros(8192, np.float32), np.full(8192, 1e-9, np.float32)):
        assert np.isfinite(follow(log_mel(silent, CFG)[None], CFG, PATCH, STEPS)).all()


def test_brightness_is_measured_in_octaves_whatever_the_bands():
    for name in ("small", "full"):
        cfg, patch = PRESETS[name].mel, PRESETS[name].tokenizer.patch_frames
        octave, low = round(1 / cfg.octaves_per_band), cfg.n_mels // 2
        mel = np.full((1, cfg.n_mels, 2 * patch), -20.0, np.float32)
        mel[0, low, :patch] = mel[0, low + octave, patch:] = 0.0
        brightness = follow(mel, cfg, patch, STEPS)[0, :, STEPS:]
        np.testing.assert_allclose(brightness[1] - brightness[0], [1 / BRIGHTNESS] * STEPS, rtol=0.05)


def test_smoothing_goes_over_the_moments_in_order():
    contour = np.zeros((3, 4), np.float32)
    contour[1, 1], contour[2, 2] = 3, 6  # loudness of moment 3, brightness of moment 4
    found = smoothed(contour, 3)
    np.testing.assert_allclose(found[:, :2], [[0, 0], [1, 1], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(found[:, 2:], [[0, 0], [0, 2], [2, 2]], atol=1e-6)
    np.testing.assert_array_equal(smoothed(contour, 1), contour)


def test_flags_say_what_is_told_and_the_rest_is_left_out():
    contour = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    found = flagged(contour, np.array([True, True, False]), np.array([True, False, False]))
    np.testing.assert_array_equal(found, [[1, 2, 3, 4, 1, 1], [5, 6, 0, 0, 1, 0], [0] * 6])


def test_contours_are_stored_in_bytes():
    rng = np.random.default_rng(0)
    contour = np.concatenate([rng.random((5, 3)), rng.uniform(-LIMIT, LIMIT, (5, 3))], 1).astype(np.float32)
    stored = to_bytes(contour)
    assert stored.dtype == np.uint8
    np.testing.assert_allclose(from_bytes(stored), contour, atol=2 * LIMIT / 255)


def test_moments_that_do_not_fit_a_column_are_refused():
    generator = replace(PRESETS["small"].generator, contour_steps=5)
    with pytest.raises(SmgError, match="config.json: contour_steps has to divide patch"):
        check_config(replace(PRESETS["small"], generator=generator), "config.json")
    check_config(PRESETS["small"], "config.json")
