"""A text in the contour of another sound."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.cli import run
from specmaskgit_cli.conditioning.condition import Condition
from specmaskgit_cli.conditioning.contour import follow
from specmaskgit_cli.errors import UsageError
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.spectrogram.mel import log_mel


def taps(rate=22050, at=(0.3, 1.1, 1.5, 2.6), seconds=3.2):
    wave, rng = np.zeros(round(rate * seconds)), np.random.default_rng(0)
    for start in at:
        n = round(0.15 * rate)
        wave[round(start * rate) :][:n] = rng.standard_normal(n) * np.exp(-np.arange(n) / (0.04 * rate))
    return (wave * 0.2).astype(np.float32)


def loudness(wave, config):
    wave = np.pad(wave, (0, -len(wave) % config.column_samples))
    steps = config.generator.contour_steps
    mel = log_mel(wave, config.mel)[None]
    return follow(mel, config.mel, config.tokenizer.patch_frames, steps)[0, :, :steps].ravel()


def test_the_generator_is_told_the_contour(trained, tmp_path, monkeypatch):
    pipe, told = load(str(trained[1]), threads=1), []
    inner, generator = pipe.runtime.hidden, pipe.config.generator
    monkeypatch.setattr(pipe.runtime, "hidden", lambda *a: (told.append(a[2][0]), inner(*a))[1])
    path = str(tmp_path / "taps.wav")
    soundfile.write(path, np.stack([taps(44100)] * 2, 1), 44100)
    sound = pipe.sketch(path, "rain", seed=1, steps=1)
    assert sound.samples.shape == (1, round(3.2 * 22050)) and sound.rate == 22050 and sound.subtype is None
    rows = Condition.unpack(told[-1], generator).contour
    columns, steps = -(-sound.samples.shape[1] // pipe.config.column_samples), generator.contour_steps
    assert (rows[:columns, -2:] == 1).all() and not rows[columns:].any()
    near = loudness(taps(), pipe.config)
    assert np.corrcoef(rows[:columns, :steps].ravel(), near)[0, 1] > 0.95
    pipe.sketch(path, "rain", seed=1, steps=1, loudness_only=True)
    alone = Condition.unpack(told[-1], generator).contour
    np.testing.assert_array_equal(alone[:, :steps], rows[:, :steps])
    assert rows[:, steps:-2].any() and not alone[:, steps:-2].any() and (alone[:columns, -2:] == [1, 0]).all()


def test_the_shipped_model_follows_a_sketch(tmp_path):
    pipe, path = load(threads=2), str(tmp_path / "taps.wav")
    tapped = taps(pipe.config.mel.sample_rate)
    soundfile.write(path, tapped, pipe.config.mel.sample_rate)
    wanted = loudness(tapped, pipe.config)
    follows, free = [], []
    for seed in range(3):
        made = pipe.sketch(path, "dog barking", seed=seed).samples[0]
        follows.append(np.corrcoef(loudness(made, pipe.config), wanted)[0, 1])
        other = pipe.generate("dog barking", seconds=3.2, seed=seed).samples[0, : len(made)]
        free.append(np.corrcoef(loudness(other, pipe.config), wanted)[0, 1])
    assert np.mean(follows) > 0.6 and np.mean(follows) > np.mean(free) + 0.3, (follows, free)


def test_a_model_that_cannot_follow_says_so(trained, tmp_path):
    pipe, path = load(str(trained[1]), threads=1), str(tmp_path / "taps.wav")
    soundfile.write(path, taps(), 22050)
    pipe.engine.config = replace(pipe.config, generator=replace(pipe.config.generator, contour_steps=0))
    with pytest.raises(UsageError, match="has not learned to follow sketches"):
        pipe.sketch(path, "rain")


def test_silence_and_what_is_too_long_are_refused(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    soundfile.write("silent.wav", np.zeros(22050), 22050)
    soundfile.write("long.wav", np.zeros(601 * 1000) + 0.1, 1000)
    for name, message in (("silent", "silent.wav is silent"), ("long", "long.wav lasts 601 s")):
        assert run(["sketch", f"{name}.wav", "--prompt", "rain", "--model", str(trained[1]), "-o", "x.wav"]) in (1, 2)
        assert message in capsys.readouterr().err and not (tmp_path / "x.wav").exists()
