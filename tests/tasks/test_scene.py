"""Sounds that follow a scene: events at times and levels over time, with the shipped model."""

from dataclasses import replace

import numpy as np
import pytest

from specmaskgit_cli.audio.files import read_mono
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import UsageError
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.sounds.record import read_record


def levels(samples, rate, seconds):
    """Level in dB of each span of so many seconds."""
    count = round(seconds * rate)
    spans = np.ravel(samples)[: samples.size // count * count].reshape(-1, count)
    return 10 * np.log10(np.square(spans).mean(axis=1) + 1e-12)


@pytest.fixture(scope="module")
def pipe():
    return load(threads=1)


@pytest.mark.parametrize("prompt", ["gunshot", "knock on a door", "axe chopping wood"])
def test_events_are_heard_when_they_were_asked_for(pipe, prompt):
    at = (0.53, 1.31, 1.87)
    for seed in (1, 2):
        sound = pipe.generate(prompt, at=at, seconds=2.6, seed=seed)
        level = levels(sound.samples, sound.rate, 0.01)
        for time in at:
            frame = round(time * 100)
            before, after = level[frame - 11 : frame - 4].mean(), level[frame : frame + 6].max()
            assert after > before + 8, (prompt, seed, time)
        assert level[:45].max() < level.max() - 20, "it is quiet until the first event"


def test_loudness_follows_an_envelope(pipe):
    sound = pipe.generate("rain", envelope=((0, 0.1), (1.4, 0.1), (1.6, 1), (3, 1)), seed=1)
    assert sound.samples.size == 3 * sound.rate
    level = levels(sound.samples, sound.rate, 0.5)
    assert level[3:].mean() - level[:2].mean() == pytest.approx(20, abs=4)


def test_the_command_takes_times_and_a_replay_makes_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = ["generate", "dog", "--at", "0:01,0.25", "--envelope", "0:1,1.2:-6dB", "--steps", "1", "--seed", "1"]
    assert run([*made, "-o", "a.wav"]) == 0
    assert "3.00 s" in capsys.readouterr().out
    options = read_record("a.wav").options
    assert options.at == (0.25, 1.0) and options.envelope == ((0.0, 1.0), (1.2, pytest.approx(0.501, abs=0.001)))
    assert run(["replay", "a.wav", "-o", "b.wav"]) == 0
    np.testing.assert_array_equal(read_mono("a.wav", 22050), read_mono("b.wav", 22050))
    assert run(["generate", "dog", "--at", "9", "-s", "4", "-o", "c.wav"]) == 2
    assert capsys.readouterr().err == "smg: error: at has an event at 9 s, and the sound lasts 4 s; make it longer\n"


def test_a_model_without_contours_says_so(trained, monkeypatch):
    pipe = load(str(trained[1]), threads=1)
    sound = pipe.generate("rain", at=0.2, envelope="0:1,1:0.1", seconds=0.8, steps=1, seed=1)
    assert np.isfinite(sound.samples).all() and np.abs(sound.samples).max() > 0.1
    config = replace(pipe.config, generator=replace(pipe.config.generator, contour_steps=0))
    monkeypatch.setattr(pipe.engine, "config", config)
    with pytest.raises(UsageError, match="has not learned to follow times and levels"):
        pipe.generate("rain", at=0.2, steps=1)
