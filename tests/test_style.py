"""Styles: what they say of a sound, how they are drawn, and that the generator is told them."""

import shutil

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from specmaskgit_cli.audio.mel import log_mel
from specmaskgit_cli.checkpoint.layout import write_sums
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import VARIETY
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.style import FILE, LAGS, LIMIT, STATISTICS, Projection, StyleBank, describe, joined


def noise(rng, frames=64, bands=6):
    return rng.standard_normal((3, bands, frames)).astype(np.float32) * 0.3 - 4


def test_statistics_are_those_of_the_frames_that_are_not_much_softer():
    mel = noise(np.random.default_rng(0))
    found = describe(mel)
    assert found.shape == (3, STATISTICS, 6)
    np.testing.assert_allclose(found[:, 0], mel.mean(2), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], mel.std(2), atol=1e-5)
    for i, lag in enumerate(LAGS):
        np.testing.assert_allclose(
            found[:, 2 + i], np.sqrt(((mel[:, :, lag:] - mel[:, :, :-lag]) ** 2).mean(2)), atol=1e-5
        )
    silence = np.full((3, 6, 40), -9.5, np.float32)
    np.testing.assert_allclose(describe(np.concatenate([mel, silence], axis=2)), found, atol=1e-5)


def test_silence_and_sounds_shorter_than_a_lag_have_a_style():
    assert np.isfinite(describe(np.full((1, 6, 64), -9.5, np.float32))).all()
    assert np.isfinite(describe(np.zeros((1, 6, 2), np.float32))).all()


@pytest.fixture(scope="module")
def fitted():
    """Statistics that three hidden numbers make, and the projection that finds these."""
    rng = np.random.default_rng(1)
    hidden = rng.standard_normal((500, 3))
    statistics = (hidden @ rng.standard_normal((3, STATISTICS * 8)) + 5).reshape(500, STATISTICS, 8)
    return statistics.astype(np.float32), Projection.fit(statistics.astype(np.float32), 5)


def test_styles_are_uncorrelated_and_of_unit_variance(fitted, monkeypatch):
    statistics, projection = fitted
    monkeypatch.setattr("specmaskgit_cli.style.describe", lambda mel: statistics)
    styles = projection(statistics)
    inside = styles[(abs(styles) < LIMIT).all(1)]
    np.testing.assert_allclose(np.cov(inside.T)[:3, :3], np.eye(3), atol=0.1)
    assert not styles[:, 3:].any() and styles.dtype == np.float32  # three numbers made them: there is no fourth


def test_the_style_is_inferred_from_the_bands_that_are_known(fitted, monkeypatch):
    statistics, projection = fitted
    monkeypatch.setattr("specmaskgit_cli.style.describe", lambda mel: statistics)
    whole = projection(statistics)
    bands = np.arange(8) < 4
    spoilt = np.where(bands, statistics, 1e3)
    monkeypatch.setattr("specmaskgit_cli.style.describe", lambda mel: spoilt)
    part = projection(spoilt, bands)
    assert np.corrcoef(whole[:, 0], part[:, 0])[0, 1] > 0.99 and np.abs(whole - part).mean() < 0.1
    assert not np.allclose(projection(spoilt), whole, atol=1)


def test_a_style_is_drawn_from_a_sound_that_is_near():
    bank = StyleBank(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 0, 2, 2, 2, 3]))
    near = np.array([0.1, 0.9, 0.5, 0.0])  # the nearest has no style
    drawn = [bank.draw(near, np.random.default_rng(i)) for i in range(60)]
    assert all(one.shape == (1, 2) for one in drawn)
    assert {float(one[0, 0]) for one in drawn} == {4, 6, 8}
    np.testing.assert_array_equal(drawn[7], bank.draw(near, np.random.default_rng(7)))
    assert {float(bank.draw(np.zeros(4), np.random.default_rng(i))[0, 0]) for i in range(80)} == {0, 2, 4, 6, 8, 10}
    assert StyleBank(np.zeros((0, 2), np.float32), np.zeros(0, int)).draw(near, np.random.default_rng(0)) is None
    typical = bank.draw(near, np.random.default_rng(0), variety=0.0)
    np.testing.assert_allclose(typical, [[6, 7]], atol=0.01)
    np.testing.assert_array_equal(typical, bank.draw(near, np.random.default_rng(1), variety=0.0))
    half = bank.draw(near, np.random.default_rng(7), variety=0.5)
    np.testing.assert_allclose(half, (typical + drawn[7]) / 2, rtol=1e-6)


def test_conditions_say_whether_they_have_a_style():
    embedding, style = np.ones((2, 3), np.float32), np.full((2, 2), 5, np.float32)
    np.testing.assert_array_equal(joined(embedding, style, 2)[0], [1, 1, 1, 5, 5, 1])
    np.testing.assert_array_equal(joined(embedding, None, 2)[0], [1, 1, 1, 0, 0, 0])
    assert joined(embedding, None, 0) is embedding


@pytest.fixture
def heard(trained, monkeypatch):
    """(pipeline, the conditions that its generator is given)."""
    pipe, found = load(str(trained[1]), threads=1), []
    inner = pipe.runtime.hidden
    monkeypatch.setattr(
        pipe.runtime, "hidden", lambda *a: (found.append(a[2][0, pipe.config.embedder.dim : -1]), inner(*a))[1]
    )
    return pipe, found


def test_generation_takes_a_style_from_the_bank(heard):
    pipe, found = heard
    pipe.generate("rain", seconds=0.4, steps=2, seed=1, variety=1.0)
    first = found[0]
    assert first[-1] == 1 and (abs(pipe.conditions.styles.styles - first[:-1]).max(1) < 1e-6).any()
    assert all((one == first).all() for one in found)
    pipe.generate("rain", seconds=0.4, steps=2, seed=1, variety=1.0)
    np.testing.assert_array_equal(found[-1], first)
    others = []
    for seed in range(2, 12):
        pipe.generate("rain", seconds=0.4, steps=1, seed=seed)
        others.append(tuple(found[-1]))
    assert len(set(others)) > 1
    for seed in (2, 3):
        pipe.generate("rain", seconds=0.4, steps=1, seed=seed, variety=0.0)
    np.testing.assert_array_equal(found[-1], found[-2])


def test_a_sound_to_resemble_and_an_edited_one_give_their_own(heard, tmp_path):
    pipe, found = heard
    path = str(tmp_path / "in.wav")
    samples = np.random.default_rng(0).standard_normal(22050).astype(np.float32) * 0.1
    soundfile.write(path, samples, 22050)
    pipe.generate(None, like=path, seconds=0.4, steps=1)
    cfg = pipe.config.mel
    own = pipe.conditions.style_of(log_mel(samples / abs(samples).max() * 10 ** (-0.9 / 20), cfg))
    np.testing.assert_allclose(found[-1][:-1], own[0], atol=0.02)
    pipe.vary(path, 0.5, steps=1)
    np.testing.assert_allclose(found[-1][:-1], own[0], atol=0.3)  # with silence up to a whole column
    pipe.continue_(path, 0.5, steps=1, prompt="rain")
    bank, cosines = pipe.conditions.styles, pipe.conditions._known @ pipe.conditions.text("rain")[0]
    typical = bank.draw(cosines, np.random.default_rng(0), variety=0.0)
    of_prompt = typical + VARIETY * (bank.styles - typical)
    assert (abs(of_prompt - found[-1][:-1]).max(1) < 1e-5).any()


def test_a_model_without_styles_of_known_sounds_still_generates(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained[1], folder)
    (folder / FILE).unlink()
    write_sums(folder)
    assert len(load(str(folder)).generate("rain", seconds=0.4, steps=1).samples)


@pytest.mark.parametrize("styles, sounds", [((3, 2), 3), ((3, 4), 2), ((2, 4), 2)])
def test_styles_that_do_not_fit_are_refused(trained, tmp_path, styles, sounds):
    folder = tmp_path / "model"
    shutil.copytree(trained[1], folder)
    owners = np.full(sounds, 99, np.int32)  # more than there are sounds
    save_file({"styles": np.zeros(styles, np.float16), "sounds": owners}, folder / FILE)
    write_sums(folder)
    with pytest.raises(SmgError, match="styles.safetensors does not fit"):
        load(str(folder)).generate("rain", seconds=0.4, steps=1)
