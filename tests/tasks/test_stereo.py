"""Stereo on a tiny model: new sounds in two channels, and edits of sounds that have them."""

import json

import numpy as np
import pytest
import soundfile

from specmaskgit_cli import load
from specmaskgit_cli.audio.filters import band
from specmaskgit_cli.cli import run
from specmaskgit_cli.evaluation.edits import seam_ratio
from specmaskgit_cli.options import (
    Box,
    ContinueOptions,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    VaryOptions,
)
from specmaskgit_cli.tasks.source import Source

RATE = 44100
FAST = {"steps": 2, "seed": 1}
SECONDS = 3
# What is new in the results of edits of three seconds, in seconds.
EDITS = {
    "inpaint": (InpaintOptions("x", boxes=(Box(1, 2),), **FAST), 1.1, 1.9),
    "box": (InpaintOptions("x", boxes=(Box(1, 2, 1000, 7000),), **FAST), 1.1, 1.9),
    "continue": (ContinueOptions("x", 1, **FAST), 3.1, 3.9),
    "before": (ContinueOptions("x", 1, before=True, **FAST), 0.1, 0.9),
    "vary": (VaryOptions("x", 0.5, **FAST), 0.1, 2.9),
    "loop": (LoopOptions("x", **FAST), 2.1, 2.9),
    "extend": (ExtendOptions("x", cutoff=2000, **FAST), 0.1, 2.9),
}


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), threads=1)


def noises(count):
    return np.random.default_rng(0).standard_normal((count, SECONDS * RATE)).astype(np.float32) * 0.05


def width(x, low=2200, high=5500):
    """Level of the side against the mid, in decibels."""
    mid, side = (part.std() for part in band(np.stack([x[0] + x[1], x[0] - x[1]]), RATE, low, high))
    return 20 * np.log10(side / mid)


@pytest.mark.parametrize("loop", [False, True])
def test_the_mean_of_two_channels_is_the_mono_sound(pipe, loop):
    mono, narrow, wide = (
        pipe.generate("rain", seconds=1.5, loop=loop, **FAST, **more).samples
        for more in ({}, {"channels": 2, "width": 0.0}, {"channels": 2, "width": 1.0})
    )
    assert np.array_equal(narrow, np.tile(mono, (2, 1)))
    np.testing.assert_allclose(wide.mean(axis=0), mono[0], atol=1e-6)
    assert np.abs(wide).max() == pytest.approx(np.abs(mono).max(), abs=1e-6) and not np.array_equal(wide[0], wide[1])
    if loop:
        assert max(seam_ratio(channel)[1] for channel in wide) < 2
    else:
        assert np.abs(wide[:, [0, -1]]).max() < 1e-3


def test_it_is_asked_for_and_told(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    # A neural vocoder adds up in another order where it has other threads, which may round a sample the other way.
    common = ["-s", "0.4", "--steps", "1", "--seed", "2", "-q", "--threads", "1"]
    assert run(["generate", "rain", *common, "--channels", "2", "--width", "1", "-o", "a.wav"]) == 0
    assert run(["replay", "a.wav", "-o", "b.wav", "--json", "--threads", "1"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["sounds"]
    assert (told["channels"], told["width"], told["identical"]) == (2, 1.0, True)
    (tmp_path / "jobs.csv").write_text("prompt,seconds,channels,width,seed,steps,output\nrain,0.4,2,1,2,1,c.wav\n")
    assert run(["batch", "jobs.csv", "-o", "made", "--workers", "1", "-q"]) == 0
    a, c = (soundfile.read(name)[0] for name in ("a.wav", "made/c.wav"))
    assert a.shape == (8820, 2) and np.array_equal(a, c)
    assert run(["sketch", "a.wav", "--prompt", "rain", *common[2:], "--channels", "2", "-o", "d.wav"]) == 0
    assert soundfile.info("d.wav").channels == 2
    assert run(["generate", "rain", *common, "--channels", "2", "--width", "1.5", "-o", "e.wav"]) == 2
    assert "width is 1.5; use a number from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("edit", EDITS)
def test_new_parts_are_as_wide_as_what_is_around_them(pipe, edit):
    options, first, last = EDITS[edit]
    mid, side = noises(2)
    new = slice(round(first * RATE), round(last * RATE))
    sound = np.stack([1.2 * mid + 0.5 * side, 0.8 * mid - 0.5 * side])
    around = width(sound)
    if edit == "extend":
        sound = band(sound, RATE, None, 2000)
    (made,) = pipe.make(options, source=Source(sound, RATE))
    assert width(made.samples[:, new]) == pytest.approx(around, abs=1.5)


@pytest.mark.parametrize("edit", ["inpaint", "continue", "extend"])
def test_mono_in_two_channels_stays_mono(pipe, edit):
    (mono,) = noises(1)
    sound = np.stack([mono, mono])
    if edit == "extend":
        sound = band(sound, RATE, None, 2000)
    (made,) = pipe.make(EDITS[edit][0], source=Source(sound, RATE))
    assert np.array_equal(*made.samples)
