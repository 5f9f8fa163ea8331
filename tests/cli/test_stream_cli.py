"""`smg stream`: to files, pipes and players; prompts that change; what ends it."""

from __future__ import annotations

import io
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.cli import run
from specmaskgit_cli.cli import stream as module

PROGRAM = "from specmaskgit_cli.cli import main; main()"


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "rate"), [("out.wav", 22050), ("out.flac", 22050), ("out.opus", 24000)])
def test_a_file_of_a_length(folder, capsys, name, rate):
    assert run(["stream", "rain", "-s", "2.5", "--seed", "3", "-o", name]) == 0
    assert os.listdir() == [name]
    with soundfile.SoundFile(name) as file:
        assert file.samplerate == rate and file.frames == pytest.approx(2.5 * rate, abs=rate * 0.001)
        assert "AI-generated sound: rain" in file.comment and "seed 3" in file.comment
    assert f"{name}  2.50 s  seed 3" in capsys.readouterr().out


class Output(io.BytesIO):
    """Standard output as a pipe; with `most`, one whose reader goes away after so many bytes."""

    def __init__(self, most=None):
        super().__init__()
        self.buffer, self.most = self, most

    def write(self, data):
        if self.most is not None and self.tell() + len(data) > self.most:
            raise BrokenPipeError
        return super().write(bytes(data))


def test_standard_output(folder, monkeypatch, capsys):
    outputs = []
    for more in ([], ["--raw"]):
        outputs.append(Output())
        monkeypatch.setattr(sys, "stdout", outputs[-1])
        assert run(["stream", "rain", "-s", "1", "--seed", "3", "-o", "-", "-q", *more]) == 0
    wav, raw = (output.getvalue() for output in outputs)
    assert len(raw) == 2 * 22050 and wav[44:] == raw and wav[:4] == b"RIFF"
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert rate == 22050 and np.array_equal(samples, np.frombuffer(raw, "<i2"))
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_enough(folder):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", PROGRAM, "stream", "rain", "-o", "-", "-q"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert done.stderr == b"" and done.returncode == 0


@pytest.mark.parametrize(
    ("number", "arguments", "code"),
    [(signal.SIGINT, [], 0), (signal.SIGINT, ["-s", "99", "--live"], 130), (signal.SIGTERM, [], 143)],
)
def test_a_signal_leaves_a_whole_file(folder, monkeypatch, number, arguments, code):
    blocks = module._blocks

    def interrupted(*given):
        for index, block in enumerate(blocks(*given)):
            yield block
            if index == 0:
                if number == signal.SIGTERM:
                    sys.exit(128 + number)
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "_blocks", interrupted)
    monkeypatch.setattr(module, "_lines", queue.SimpleQueue)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    command = ["stream", "rain", "--seed", "3", "-o", "out.wav", *arguments]
    if code == 143:
        with pytest.raises(SystemExit, match="143"):
            run(command)
    else:
        assert run(command) == code
    assert os.listdir() == ["out.wav"]
    samples, rate = soundfile.read("out.wav")
    assert 2 * rate < len(samples) < 3 * rate and abs(samples[-1]) < 1e-3


def test_a_player(folder, monkeypatch, capsys):
    (folder / "ffplay").write_text('#!/bin/sh\necho "$@" > arguments\ncat > heard.wav\n')
    (folder / "ffplay").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert run(["stream", "rain", "-s", "2.2", "--channels", "2"]) == 0
    assert soundfile.read("heard.wav")[0].shape == (round(2.2 * 22050), 2)
    assert "seed" in capsys.readouterr().err
    (folder / "ffplay").write_text("#!/bin/sh\nexit 3\n")
    assert run(["stream", "rain", "-s", "600"]) == 1
    assert "ffplay could not play the stream (3)" in capsys.readouterr().err


def test_nothing_to_play_with(folder, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(folder))
    assert run(["stream", "rain"]) == 1
    assert "nothing to play a stream with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.wav", "--raw"], "--raw is for standard output"),
        (["-o", "a.xyz"], "unknown extension"),
        (["-o", "gone/a.wav"], "does not exist"),
        (["-o", "a.wav", "-s", "0"], "seconds is 0"),
    ],
)
def test_what_is_refused(folder, capsys, arguments, words):
    assert run(["stream", "rain", *arguments]) in (1, 2)
    assert words in capsys.readouterr().err and os.listdir() == []


class Made:
    """A stream that tells which prompts it was turned to."""

    rate, warnings = 100, ()

    def __init__(self, blocks):
        self.left, self.prompts = blocks, []

    def turn(self, prompt):
        self.prompts.append(prompt)

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return np.zeros((1, 200), np.float32)


def test_it_keeps_to_the_time_of_the_clock(monkeypatch):
    clock, slept = [1000.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    for index, _ in enumerate(module._blocks(Made(6), None, True, True)):
        if index == 3:
            clock[0] += 100  # the computer slept
    assert slept[:3] == pytest.approx([1, 2, 2], abs=0.01)
    assert slept[3] == 0 and slept[4:] == pytest.approx([1, 2], abs=0.01)


def test_lines_are_prompts(monkeypatch, capsys):
    read, write = os.pipe()
    with open(read, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        lines, made, threads = module._lines(), Made(9), threading.active_count()
        os.write(write, b"church bell\nrain, ")
        os.write(write, b"heavy\n\xff\xfe\n")
        os.close(write)
        while threading.active_count() >= threads:
            time.sleep(0.001)
    found = [lines.get_nowait() for _ in range(4)]
    assert found == [b"church bell", b"rain, heavy", b"\xff\xfe", b""]
    for line in found[:3]:
        lines.put(line)
        module._turn(made, lines)
    assert made.prompts == ["church bell", "rain, heavy"]
    assert capsys.readouterr().err.count("not valid UTF-8") == 1
    for line in (b"one", b"two", b""):
        lines.put(line)
    module._turn(made, lines)
    assert made.prompts[2:] == ["two"]
