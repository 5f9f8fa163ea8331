"""Conditions: how style and contour are drawn from the bank of known sounds, how a condition is packed, and that the
generator gets it."""

import shutil

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from specmaskgit_cli.checkpoint.layout import write_sums
from specmaskgit_cli.conditioning.bank import FILE, Bank
from specmaskgit_cli.conditioning.condition import Condition, Layout, with_guidance
from specmaskgit_cli.config.settings import GeneratorConfig
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import VARIETY
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.spectrogram.mel import log_mel

ANY = Condition(np.ones((1, 3), np.float32))


def bank_of(styles, sounds, contours=None):
    contours = np.zeros((len(styles), 1, 0), np.uint8) if contours is None else contours
    return Bank(styles, np.array(sounds, np.int64), contours)


def test_a_style_is_drawn_from_a_sound_that_is_near():
    bank = bank_of(np.arange(12, dtype=np.float32).reshape(6, 2), [0, 0, 2, 2, 2, 3])
    near = np.array([0.1, 0.9, 0.5, 0.0])  # the nearest has no style
    drawn = [bank.draw(ANY, near, np.random.default_rng(i), 3).style for i in range(60)]
    assert all(one.shape == (1, 2) for one in drawn)
    assert {float(one[0, 0]) for one in drawn} == {4, 6, 8}
    np.testing.assert_array_equal(drawn[7], bank.draw(ANY, near, np.random.default_rng(7), 3).style)
    assert {float(bank.draw(ANY, np.zeros(4), np.random.default_rng(i), 3).style[0, 0]) for i in range(80)} == {
        0,
        2,
        4,
        6,
        8,
        10,
    }
    assert bank_of(np.zeros((0, 2), np.float32), []).draw(ANY, near, np.random.default_rng(0), 3) is ANY
    typical = bank.draw(ANY, near, np.random.default_rng(0), 3, variety=0.0).style
    np.testing.assert_allclose(typical, [[6, 7]], atol=0.01)
    np.testing.assert_array_equal(typical, bank.draw(ANY, near, np.random.default_rng(1), 3, variety=0.0).style)
    half = bank.draw(ANY, near, np.random.default_rng(7), 3, variety=0.5).style
    np.testing.assert_allclose(half, (typical + drawn[7]) / 2, rtol=1e-6)


def test_the_contour_is_the_loudest_part_of_a_sound_or_several_one_after_another():
    contours = np.zeros((3, 4, 2), np.uint8)
    contours[0, 2:, 0], contours[1, :, 0], contours[2, :, 0] = 255, 51, 102
    bank = bank_of(np.zeros((3, 2), np.float32), [0, 1, 1], contours)
    for columns, wanted in ((2, [1, 1]), (3, [0, 1, 1]), (4, [0, 0, 1, 1]), (6, [0, 0, 1, 1, 0, 0])):
        found = bank.draw(ANY, np.array([1.0, 0.0]), np.random.default_rng(0), columns).contour
        assert found.shape == (columns, 4) and (found[:, 2:] == 1).all()
        np.testing.assert_allclose(found[:, 0], wanted)
    drawn = [bank.draw(ANY, np.array([0.0, 1.0]), np.random.default_rng(i), 12).contour[::4, 0] for i in range(20)]
    assert len({tuple(np.round(one, 3)) for one in drawn}) > 2 and set(np.round(drawn, 2).ravel()) == {
        np.float32(0.2), np.float32(0.4)
    }  # fmt: skip


def test_a_packed_condition_has_the_right_columns_and_says_what_is_in_it():
    config = GeneratorConfig(condition_dim=3, style_dims=2, contour_steps=1, max_columns=3)
    style, contour = np.full((1, 2), 5, np.float32), np.arange(16, dtype=np.float32).reshape(4, 4)
    condition = Condition(np.ones((1, 3), np.float32), style, contour)
    np.testing.assert_array_equal(condition.pack(config), [[*range(12), 1, 1, 1, 5, 5, 1]])
    np.testing.assert_array_equal(condition.pack(config, 2)[0, :12], [*range(8, 16), 0, 0, 0, 0])
    np.testing.assert_array_equal(ANY.pack(config)[0], [0] * 12 + [1, 1, 1, 0, 0, 0])
    assert ANY.pack(config).shape[1] == config.condition_size == Layout(config).size
    np.testing.assert_array_equal(condition.pack(GeneratorConfig(condition_dim=3)), ANY.embedding)


def test_what_is_packed_can_be_unpacked():
    config = GeneratorConfig(condition_dim=3, style_dims=2, contour_steps=1, max_columns=3, guidance=5.0)
    condition = Condition(np.ones((1, 3), np.float32), np.full((1, 2), 5, np.float32), np.ones((3, 4), np.float32))
    packed = condition.pack(config, guidance=2.0)
    assert packed.shape[1] == config.condition_size and packed[0, -1] == 2
    found = Condition.unpack(packed[0], config)
    for name, value in vars(condition).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    assert Condition.unpack(ANY.pack(config)[0], config).style is None
    np.testing.assert_array_equal(with_guidance(condition.pack(config), np.array([2.0]), config), packed)
    assert condition.pack(config)[0, -1] == 0


@pytest.fixture
def heard(trained, monkeypatch):
    """(pipeline, the styles that its generator is told)."""
    pipe, found = load(str(trained[1]), threads=1), []
    inner = pipe.runtime.hidden
    monkeypatch.setattr(
        pipe.runtime,
        "hidden",
        lambda *a: (found.append(a[2][0, -pipe.config.generator.style_dims - 2 : -1]), inner(*a))[1],
    )
    return pipe, found


def test_generation_takes_a_style_from_the_bank(heard):
    pipe, found = heard
    pipe.generate("rain", seconds=0.4, steps=2, seed=1, variety=1.0)
    first = found[0]
    assert first[-1] == 1 and (abs(pipe.engine.prompts.bank.styles - first[:-1]).max(1) < 1e-6).any()
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
    own = pipe.engine.prompts.style_of(log_mel(samples / abs(samples).max() * 10 ** (-0.9 / 20), cfg))
    np.testing.assert_allclose(found[-1][:-1], own[0], atol=0.02)
    pipe.vary(path, 0.5, steps=1)
    np.testing.assert_allclose(found[-1][:-1], own[0], atol=0.3)  # with silence up to a whole column
    pipe.continue_(path, 0.5, steps=1, prompt="rain")
    bank, cosines = pipe.engine.prompts.bank, pipe.engine.prompts._known @ pipe.engine.prompts.text("rain")[0]
    typical = bank.draw(ANY, cosines, np.random.default_rng(0), 1, variety=0.0).style
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
