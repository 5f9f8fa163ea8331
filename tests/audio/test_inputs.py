"""Sounds from pipes and standard input, and files that end before they should."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.audio import inputs
from specmaskgit_cli.audio.damage import share_there
from specmaskgit_cli.audio.files import read_audio
from specmaskgit_cli.audio.samples import decode
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.sounds.record import read_record, sha256

RATE = 22050
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE).astype(np.float32)


def encoded(format="WAV", subtype=None, rate=RATE, times=1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.tile(NOISE, times), rate, format=format, subtype=subtype)
    return file.getvalue()


WAV = encoded()
SAMPLES = soundfile.read(io.BytesIO(WAV), dtype="float32", always_2d=True)[0].T


@pytest.fixture(autouse=True)
def fresh():
    """What earlier tests sent to standard input is forgotten."""
    inputs._copied.cache_clear()


@pytest.fixture
def pipe(tmp_path):
    """The name of a pipe that a sound is written to once."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(WAV,))
    writer.start()
    yield str(path)
    writer.join(timeout=10)
    assert not writer.is_alive()


def test_a_pipe_is_read_once_and_is_the_same_for_all_that_read_it(pipe, tmp_path):
    np.testing.assert_array_equal(read_audio(pipe).samples, SAMPLES)
    np.testing.assert_array_equal(read_audio(pipe).samples, SAMPLES)
    (tmp_path / "file.wav").write_bytes(WAV)
    assert sha256(pipe) == sha256(tmp_path / "file.wav") and read_record(pipe) is None


def send(monkeypatch, data: bytes, terminal: bool = False):
    """Put data on standard input."""
    stdin = types.SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stdin)


def test_edits_take_pipes_and_standard_input(pipe, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    common = ["vary", "--seed", "1", "--steps", "2", "--model", str(trained[1]), "--threads", "1", "-q"]
    (tmp_path / "file.wav").write_bytes(WAV)
    assert run([*common, "file.wav", "-o", "a.wav"]) == 0
    assert run([*common, pipe, "-o", "b.wav"]) == 0
    send(monkeypatch, WAV)
    assert run([*common, "-"]) == 0
    a, b, c = (read_audio(name).samples for name in ("a.wav", "b.wav", "sound.varied.wav"))
    assert np.array_equal(a, b) and np.array_equal(a, c)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("command", [["info"], ["show"]])
def test_tools_take_pipes_and_standard_input(command, pipe, monkeypatch, capsys):
    assert run([*command, pipe]) == 0
    send(monkeypatch, WAV)
    assert run([*command, "-"]) == 0
    assert "2.00 s" in capsys.readouterr().out


def test_a_process_substitution(tmp_path):
    (tmp_path / "in.wav").write_bytes(WAV)
    command = f"{sys.executable} -m specmaskgit_cli info <(cat in.wav) && cat in.wav | "
    command += f"{sys.executable} -m specmaskgit_cli info /dev/stdin"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count("2.00 s") == 2 and not done.stderr


@pytest.mark.parametrize(
    ("data", "terminal", "words"),
    [(b"", False, "is empty"), (b"text", False, "not a sound file"), (WAV, True, "terminal")],
)
def test_streams_that_hold_no_sound(data, terminal, words, monkeypatch, capsys):
    send(monkeypatch, data, terminal)
    assert run(["info", "-"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smg: error: ") and words in line


def test_a_stream_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(inputs, "MAX_BYTES", 100_000)
    monkeypatch.setattr(inputs, "_BLOCK", 10_000)
    send(monkeypatch, bytes(100_001))
    before = os.listdir(inputs._folder().name)
    with pytest.raises(SmgError, match="standard input holds more than"):
        read_audio("-")
    assert os.listdir(inputs._folder().name) == before


CUT = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "FLOAT"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_16")]
CUT += [("MP3", None), ("OGG", "VORBIS")]
KINDS = [*CUT, ("RF64", "PCM_16"), ("OGG", "OPUS"), ("FLAC", None), ("CAF", None)]


@pytest.mark.parametrize(("format", "subtype"), KINDS)
def test_whole_files_are_not_called_cut_short(format, subtype, tmp_path):
    data = encoded(format, subtype, 48000)
    assert share_there(io.BytesIO(data)) in (1.0, None)
    (tmp_path / "x").write_bytes(data)
    assert not read_audio(tmp_path / "x").notes


@pytest.mark.parametrize("share", [0.4, 0.5, 0.9])
@pytest.mark.parametrize(("format", "subtype"), CUT)
def test_files_that_are_cut_short_are_read_with_a_warning(format, subtype, share, tmp_path):
    data = encoded(format, subtype, 48000, times=6)
    path = tmp_path / "x"
    path.write_bytes(data[: round(share * len(data))])
    (note,) = read_audio(path).notes
    if format == "OGG":
        assert note == f"{path} is cut short: the end of it is missing"
    else:
        told = int(note.removeprefix(f"{path} is cut short: ").removesuffix("% of it is there"))
        assert told == pytest.approx(100 * share, abs=1)


def test_warnings_of_commands(tmp_path, trained, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.wav").write_bytes(WAV[: len(WAV) // 2])
    assert run(["info", "half.wav"]) == 0
    assert "warning: half.wav is cut short: 50% of it is there" in capsys.readouterr().out
    assert run(["show", "half.wav"]) == 0
    assert capsys.readouterr().err == "smg: warning: half.wav is cut short: 50% of it is there\n"
    assert run(["vary", "half.wav", "-o", "x.wav", "--steps", "2", "--model", str(trained[1])]) == 0
    assert "warning: half.wav is cut short: 50% of it is there" in capsys.readouterr().err


@pytest.mark.parametrize(("subtype", "riff"), [("PCM_16", 0), ("PCM_24", 0), ("FLOAT", 36)])
def test_a_recorder_that_died(subtype, riff, tmp_path):
    data = bytearray(encoded("WAV", subtype))
    at = data.index(b"data") + 4
    data[4:8], data[at : at + 4] = struct.pack("<I", riff), bytes(4)
    (tmp_path / "x.wav").write_bytes(data)
    audio = read_audio(tmp_path / "x.wav")
    whole = soundfile.read(io.BytesIO(encoded("WAV", subtype)), dtype="float32", always_2d=True)[0].T
    np.testing.assert_array_equal(audio.samples, whole)
    assert "was not finished by what recorded it" in audio.notes[0]
    np.testing.assert_array_equal(decode(bytes(data), RATE)[0], whole)


def test_a_wav_without_samples_stays_one(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, NOISE[:0], RATE, format="WAV")
    for more in (b"", b"LIST\x04\0\0\0INFO", b"id3 \0\0\0\0"):
        (tmp_path / "x.wav").write_bytes(file.getvalue() + more)
        with pytest.raises(SmgError, match="holds no samples"):
            read_audio(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A ", "MPEG-4"), ("a.wav", b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        ("a.aac", b"\xff\xf1\x50\x80", "AAC"), ("a.webm", b"\x1a\x45\xdf\xa3\x9f", "WebM or Matroska"),
        ("a.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"), ("a.amr", b"#!AMR\n", "AMR"),
        ("a.wv", b"wvpk", "WavPack"),
    ],
)  # fmt: skip
def test_sounds_of_other_kinds_say_what_to_do(name, head, kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(head + b"x" * 500)
    assert run(["info", name]) == 1
    expected = f"smg: error: {name} is {kind}, which cannot be read here; convert it first: ffmpeg -i IN OUT.flac\n"
    assert capsys.readouterr().err == expected
