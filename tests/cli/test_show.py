"""Seeing and hearing: `smg show`, the outlines of what an edit made, and --play."""

import io
import json
import re
import sys

import numpy as np
import pytest
import soundfile
from audio.test_levels_image import read_png

from specmaskgit_cli.audio.files import write_audio
from specmaskgit_cli.cli import run
from specmaskgit_cli.options import (
    Box,
    ContinueOptions,
    ExtendOptions,
    GenerateOptions,
    InpaintOptions,
    LoopOptions,
    OutputOptions,
    SketchOptions,
    VaryOptions,
)
from specmaskgit_cli.sounds.record import Origin, Record
from specmaskgit_cli.spectrogram.image import MARK, save_view, view

ORIGIN = Origin(model="m", model_hash="0" * 12, source="default", backend="onnx", input_sha256="1" * 64)
CYAN = [0, 255, 255]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty directory, whose tone.wav is a second of silence and one of 1 kHz."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "COLUMNS", "LINES", "TERM"):
        monkeypatch.delenv(name, raising=False)
    write("tone.wav")
    return tmp_path


def write(name, options=None, output=None, rate=22050):
    wave = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    wave[:rate] = 0
    tags = Record(options, output or OutputOptions(), ORIGIN).tags() if options else None
    write_audio(name, wave, rate, metadata=tags)


def player(folder, name, body='printf "%s\\n" "$@" >> played.txt'):
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def spans(pixels):
    """First and last column and row of the outlines: (left, right, top, bottom)."""
    rows, columns = np.nonzero(pixels == MARK)
    return columns.min(), columns.max(), rows.min(), rows.max()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (GenerateOptions(prompt="rain", seed=1), ()),
        (VaryOptions("a.wav", seed=1), ()),
        (SketchOptions("a.wav", prompt="rain", seed=1), ()),
        (ExtendOptions("a.wav", seed=1), ()),
        (ExtendOptions("a.wav", 3000.0, seed=1), (Box(0, 8, 3000),)),
        (InpaintOptions("a.wav", (Box(1, 2), Box(3, 4, 5, 6)), seed=1), (Box(1, 2), Box(3, 4, 5, 6))),
        (ContinueOptions("a.wav", seconds=3.0, seed=1), (Box(5, 8),)),
        (ContinueOptions("a.wav", seconds=3.0, before=True, seed=1), (Box(0, 3),)),
        (ContinueOptions("a.wav", seconds=30.0, seed=1), (Box(0, 8),)),
        (LoopOptions("a.wav", seed=1), (Box(7, 8),)),
    ],
)
def test_what_is_new(options, expected):
    assert options.new_parts(8.0) == expected


def test_picture_has_the_waveform_above_the_spectrogram(folder):
    samples, rate = soundfile.read("tone.wav", dtype="float32")
    pixels = view(samples, rate, 200, 160, 41)
    assert pixels.shape == (201, 200)
    wave, mel = pixels[:41], pixels[41:]
    assert (wave[:, :99] > 0).sum(axis=0).max() == 1  # silence is a line
    assert (wave[:, 102:] > 0).all()
    assert mel[:, :95].max() == 0 and np.unique(mel[:, 105:195].argmax(axis=0)).size == 1
    # 1 kHz of 11 kHz, on the mel scale, from below.
    assert 0.25 < 1 - mel[:, 150].argmax() / 160 < 0.4
    save_view("x.png", pixels, False)
    assert np.array_equal(read_png(folder / "x.png")[0], pixels)


@pytest.mark.parametrize("rate", [1, 60, 1000, 8000, 44100, 192000, 2**30])
@pytest.mark.parametrize("length", [1, 7, 5000])
@pytest.mark.parametrize("level", [0, 1, 1e12])
def test_any_sound_can_be_seen(rate, length, level):
    samples = np.full((2, length), level, np.float32) * [[1], [-1]]
    boxes = (Box(0, 1e6), Box(1e6 - 1, 1e6), Box(0, 1e-9, 0, 1e-9), Box(0, 1, 999999, 1e6))
    with np.errstate(all="raise", under="ignore"):
        for line, width in ((1, 20), (2, None)):
            pixels = view(samples.astype(np.float32), rate, width, 30, 10, boxes, line)
            assert pixels.shape == (40, width or pixels.shape[1]) and (pixels == MARK).any()
            assert not (pixels[:10] == MARK).any()


def test_channels_that_cancel_each_other_are_seen(folder):
    noise = np.random.default_rng(0).standard_normal(20000).astype(np.float32) * 0.1
    alone, both = (view(x, 22050, 50, 50, 9) for x in (noise, np.stack([noise, -noise])))
    assert np.abs(alone[9:].astype(int) - both[9:]).max() <= 1 and alone[9:].mean() > 50


def test_outline_lies_where_the_box_is(folder):
    samples, rate = soundfile.read("tone.wav", dtype="float32")
    left, right, top, bottom = spans(view(samples, rate, 200, 160, 0, [Box(0.5, 1.5)]))
    assert (left, right, top, bottom) == (50, 149, 0, 159)
    pixels = view(samples, rate, 200, 160, 0, [Box(0.5, 1.5, 500, 2000)])
    left, right, top, bottom = spans(pixels)
    tone = view(samples, rate, 200, 160, 0)[:, 150].argmax()
    assert (left, right) == (50, 149) and 0 < top < tone < bottom < 159
    assert (pixels[top + 2 : bottom - 1, 52:148] != MARK).all()


def test_show_writes_an_image(folder, capsys):
    write("edited.flac", InpaintOptions("a.wav", (Box(0.5, 1.0, 300, 3000),), seed=1), rate=44100)
    assert run(["show", "edited.flac", "-o", "x.png", "--width", "300"]) == 0
    assert capsys.readouterr() == ("x.png\n", "")
    pixels, palette = read_png(folder / "x.png")
    assert pixels.shape == (420, 300) and palette[MARK].tolist() == CYAN
    assert spans(pixels)[:2] == (75, 149)
    assert run(["show", "tone.wav", "-o", "x.png", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["files"]
    assert shown == {"file": "tone.wav", "image": "x.png", "seconds": 2.0, "sample_rate": 22050, "channels": 1,
                     "peak_db": -6.02, "new": []}  # fmt: skip
    assert read_png(folder / "x.png")[1][MARK].tolist() != CYAN


def test_show_in_colour(folder, monkeypatch):
    write("edited.wav", ContinueOptions("a.wav", seconds=0.5, seed=1))
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    assert run(["show", "edited.wav"]) == 0
    title, *drawn, legend = terminal.getvalue().splitlines()
    assert title == "edited.wav  2.00 s  0 to 11025 Hz  peak -6.0 dBFS" and legend == "new: 1.50 to 2.00 s"
    assert len(drawn) == 20 and all(line.endswith("\x1b[0m") for line in drawn)
    assert {re.sub("\x1b[^m]*m", "", line) for line in drawn} == {"▀" * 60}
    assert "2;0;255;255" in drawn[-1] and "2;0;255;255" not in drawn[0]


@pytest.mark.parametrize("why", ["NO_COLOR", "no terminal", "ascii"])
def test_show_in_plain_characters(folder, monkeypatch, why):
    write("edited.wav", InpaintOptions("a.wav", (Box(0.5, 1.0, 300, 3000),), seed=1))
    stream = io.StringIO() if why == "no terminal" else Terminal()
    if why == "ascii":
        monkeypatch.setattr(Terminal, "encoding", "ascii")
    if why == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run(["show", "edited.wav", "--width", "40"]) == 0
    text = stream.getvalue()
    assert "\x1b" not in text and text.isascii()
    _, *drawn, legend = text.splitlines()
    assert legend == "new: 0.50 to 1.00 s, 300 to 3000 Hz"
    assert max(map(len, drawn)) == 40
    corners = [(row, line.index("+"), line.rindex("+")) for row, line in enumerate(drawn) if "+" in line]
    assert len(corners) == 2 and {ends[1:] for ends in corners} == {(10, 19)}
    assert all(line[10] == line[19] == "|" for line in drawn[corners[0][0] + 1 : corners[1][0]])
    assert any("@" in line[20:] or "#" in line[20:] for line in drawn)


def test_what_cannot_be_marked_is_shown_all_the_same(folder, capsys):
    write("trimmed.wav", InpaintOptions("a.wav", (Box(0.5, 1.0),), seed=1), OutputOptions(trim=True))
    assert run(["show", "trimmed.wav", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["new"] == []
    write_audio("bad.wav", np.ones(5000), 8000, metadata={"comment": '{"smg": 1'})
    assert run(["show", "bad.wav", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["files"][0]["new"] == [] and err.count("\n") == 1 and "damaged" in err


@pytest.mark.parametrize(
    ("args", "words", "code"),
    [
        (["none.wav"], "no such file", 1),
        (["text.wav"], "not a sound file", 1),
        (["tone.wav", "--width", "3"], "--width is 3", 2),
        (["tone.wav", "-o", "x.jpg"], "x.jpg", 2),
        (["tone.wav", "-o", "no/x.png"], "does not exist", 1),
        (["tone.png", "-o", "tone.png"], "is the sound itself", 1),
    ],
)
def test_show_refuses(folder, capsys, args, words, code):
    (folder / "text.wav").write_text("no sound")
    (folder / "tone.png").write_bytes((folder / "tone.wav").read_bytes())
    assert run(["show", *args]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("smg: error: ") and err.count("\n") == 1 and words in err
    assert not (folder / "x.png").exists()


def test_show_plays(folder, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(folder / "bin"))
    player(folder, "aplay", "exit 3")
    player(folder, "paplay", 'echo noise; echo "$1" > played.txt')
    assert run(["show", "tone.wav", "--play", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) and err == ""
    assert (folder / "played.txt").read_text() == f"{folder / 'tone.wav'}\n"


def test_playing_that_fails_is_one_line(folder, monkeypatch, capfd):
    monkeypatch.setenv("PATH", str(folder / "bin"))
    write("tone.flac")
    player(folder, "aplay", "echo noise >&2; exit 3")
    for name, words in (("tone.wav", "aplay could not play tone.wav (3)"), ("tone.flac", "nothing to play tone.flac")):
        assert run(["show", name, "-o", "x.png", "--play"]) == 0
        out, err = capfd.readouterr()
        assert out == "x.png\n" and err.count("\n") == 1 and words in err
    (folder / "bin" / "aplay").write_text("#!/no/such/interpreter\n")
    assert run(["show", "tone.wav", "-o", "x.png", "--play"]) == 0
    assert capfd.readouterr().err == "smg: warning: aplay could not play tone.wav (No such file or directory)\n"


# With a model


@pytest.fixture
def model(folder, monkeypatch, trained):
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    soundfile.write("in.wav", np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)
    return folder


def quick(*args):
    return run([*args, "--steps", "2", "--threads", "1", "-q"])


def test_sounds_are_played_once_all_are_written(model, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(model / "bin"))
    player(model, "ffplay", 'for last; do :; done; [ -s "$last" ] && echo "$last" >> played.txt')
    assert quick("generate", "rain", "-s", "0.5", "-n", "2", "-o", "out.wav", "--play") == 0
    assert quick("vary", "in.wav", "-o", "-v.wav", "--play") == 0
    names = ["out-1.wav", "out-2.wav", "-v.wav"]
    assert (model / "played.txt").read_text().splitlines() == [str(model / name) for name in names]
    assert quick("vary", "in.wav", "-o", "-", "--play") == 2
    assert "--play" in capsys.readouterr().err

    (model / "bin" / "ffplay").unlink()
    assert quick("continue", "in.wav", "--seconds", "0.5", "-o", "on.wav", "--play") == 0
    out, err = capsys.readouterr()
    assert (model / "on.wav").exists() and out == "" and err.count("\n") == 1 and "install one of ffplay" in err


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["inpaint", "--start", "0.25", "--end", "0.5"], (0.25, 0.5)),
        (["continue", "--seconds", "0.25"], (0.8, 1)),
        (["extend"], (0, 1)),
        (["vary"], None),
    ],
)
def test_images_of_edits_show_all_of_them_and_what_is_new(model, capsys, args, expected):
    assert quick(args[0], "in.wav", *args[1:], "-o", "out.wav", "--image", "x.png", "--seed", "1") == 0
    pixels, palette = read_png(model / "x.png")
    assert pixels.shape == (240, 240)
    if expected is None:
        assert palette[MARK].tolist() != CYAN
        return
    left, right, _, bottom = spans(pixels)
    assert palette[MARK].tolist() == CYAN
    assert (left, right + 1) == (round(expected[0] * 240), round(expected[1] * 240))
    assert (bottom < 150) == (args[0] == "extend")
    # What is drawn is told by the file too: extend stores the cut-off it found, and replays to the same samples.
    assert run(["show", "out.wav", "--json"]) == 0
    (box,) = json.loads(capsys.readouterr().out)["files"][0]["new"]
    assert (box["low"] is not None) == (args[0] == "extend") and box["end"] == pytest.approx(expected[1] * (
        1.25 if args[0] == "continue" else 1))  # fmt: skip
    if args[0] == "extend":
        assert 3500 < box["low"] < 4100
        assert run(["replay", "out.wav", "-o", "again.wav", "--threads", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["sounds"][0]["identical"]
