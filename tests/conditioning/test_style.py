"""Styles: what they say of a sound."""

import numpy as np
import pytest

from specmaskgit_cli.conditioning.style import LAGS, LIMIT, STATISTICS, Projection, describe
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import MelConfig

CFG = MelConfig()


def noise(rng, frames=64, bands=6):
    return rng.standard_normal((3, bands, frames)).astype(np.float32) * 0.3 - 4


def test_statistics_are_those_of_the_frames_that_are_not_much_softer():
    mel = noise(np.random.default_rng(0))
    found = describe(mel, CFG)
    assert found.shape == (3, STATISTICS, 6)
    np.testing.assert_allclose(found[:, 0], mel.mean(2), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], mel.std(2), atol=1e-5)
    for i, lag in enumerate(map(CFG.frames, LAGS)):
        np.testing.assert_allclose(
            found[:, 2 + i], np.sqrt(((mel[:, :, lag:] - mel[:, :, :-lag]) ** 2).mean(2)), atol=1e-5
        )
    silence = np.full((3, 6, 40), -9.5, np.float32)
    np.testing.assert_allclose(describe(np.concatenate([mel, silence], axis=2), CFG), found, atol=1e-5)


def test_silence_and_sounds_shorter_than_a_lag_have_a_style():
    assert np.isfinite(describe(np.full((1, 6, 64), -9.5, np.float32), CFG)).all()
    assert np.isfinite(describe(np.zeros((1, 6, 2), np.float32), CFG)).all()


def test_changes_are_measured_over_the_same_times_at_any_frame_rate():
    full = PRESETS["full"].mel
    slow = np.cumsum(noise(np.random.default_rng(0), 400), axis=2) * 0.05
    fast = np.repeat(slow, 2, axis=2)  # the same sound at twice the frames a second
    at_full = [full.frames(lag) for lag in LAGS]
    assert at_full == [2 * CFG.frames(lag) for lag in LAGS]
    np.testing.assert_allclose(describe(fast, full), describe(slow, CFG), rtol=0.02)


@pytest.fixture(scope="module")
def fitted():
    """Statistics that three hidden numbers make, and the projection that finds these."""
    rng = np.random.default_rng(1)
    hidden = rng.standard_normal((500, 3))
    statistics = (hidden @ rng.standard_normal((3, STATISTICS * 8)) + 5).reshape(500, STATISTICS, 8)
    return statistics.astype(np.float32), Projection.fit(statistics.astype(np.float32), 5)


def test_styles_are_uncorrelated_and_of_unit_variance(fitted, monkeypatch):
    statistics, projection = fitted
    monkeypatch.setattr("specmaskgit_cli.conditioning.style.describe", lambda mel, cfg: statistics)
    styles = projection(statistics, CFG)
    inside = styles[(abs(styles) < LIMIT).all(1)]
    np.testing.assert_allclose(np.cov(inside.T)[:3, :3], np.eye(3), atol=0.1)
    assert not styles[:, 3:].any() and styles.dtype == np.float32  # three numbers made them: there is no fourth


def test_the_style_is_inferred_from_the_bands_that_are_known(fitted, monkeypatch):
    statistics, projection = fitted
    monkeypatch.setattr("specmaskgit_cli.conditioning.style.describe", lambda mel, cfg: statistics)
    whole = projection(statistics, CFG)
    bands = np.arange(8) < 4
    spoilt = np.where(bands, statistics, 1e3)
    monkeypatch.setattr("specmaskgit_cli.conditioning.style.describe", lambda mel, cfg: spoilt)
    part = projection(spoilt, CFG, bands)
    assert np.corrcoef(whole[:, 0], part[:, 0])[0, 1] > 0.99 and np.abs(whole - part).mean() < 0.1
    assert not np.allclose(projection(spoilt, CFG), whole, atol=1)
