"""What happens to files and messages when the world around `smg` misbehaves."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from specmaskgit_cli.audio.files import read_audio, write_audio
from specmaskgit_cli.checkpoint import write_sums
from specmaskgit_cli.cli import run as smg
from specmaskgit_cli.cli.output_files import numbered
from specmaskgit_cli.sounds.record import read_record

SMG = [sys.executable, "-m", "specmaskgit_cli"]
QUICK = ["--seconds", "0.3", "--steps", "2", "--threads", "1", "--seed", "1"]
RATE = 22050


@pytest.fixture(scope="module")
def model(trained):
    return str(trained[1])


@pytest.fixture
def one_line(capsys):
    """Run a command that has to fail with one line, and return that."""

    def run(*args: str) -> str:
        capsys.readouterr()
        assert smg([str(arg) for arg in args]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("smg: error: ") and "this is a bug" not in line
        return line

    return run


def generate(model: str, *args: str) -> list[str]:
    return ["generate", "rain", *QUICK, "--model", model, *args]


def process(*args: str, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"} | options.pop("env", {})
    return subprocess.run([*SMG, *args], capture_output=True, timeout=300, env=environment, **options)


# Disks


@pytest.mark.parametrize("call", ["write_bytes", "touch"])
def test_a_full_disk(tmp_path, monkeypatch, model, one_line, call):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "out.wav").write_bytes(b"old")
    monkeypatch.setattr(Path, call, full)
    assert "No space left on device" in one_line(*generate(model, "-o", tmp_path / "out.wav"))
    assert (tmp_path / "out.wav").read_bytes() == b"old" and os.listdir(tmp_path) == ["out.wav"]


@pytest.mark.parametrize("extra", [["--image", "out.png"], ["-n", "2"]])
def test_no_room_for_the_file(tmp_path, model, extra):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))  # a sound takes 13 kB
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = process(*generate(model, "-o", "out.wav", *extra), cwd=tmp_path, preexec_fn=small)
    assert done.returncode == 1 and done.stderr.decode().count("\n") == 1 and b"File too large" in done.stderr
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written(tmp_path, model, one_line):
    tmp_path.chmod(0o500)
    try:
        assert "no permission" in one_line(*generate(model, "-o", tmp_path / "out.wav"))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that takes no files")
def test_a_file_system_that_takes_no_files(model, one_line):
    assert "/proc/self/out.wav" in one_line(*generate(model, "-o", "/proc/self/out.wav"))


def test_the_directory_goes_away_meanwhile(tmp_path, monkeypatch, model, one_line):
    import specmaskgit_cli.sounds.sound as sound

    finish = sound.finish

    def finish_late(*args, **kwargs):
        shutil.rmtree(tmp_path / "there")
        return finish(*args, **kwargs)

    (tmp_path / "there").mkdir()
    monkeypatch.setattr(sound, "finish", finish_late)
    assert "does not exist" in one_line(*generate(model, "-o", tmp_path / "there" / "out.wav"))
    assert not os.listdir(tmp_path)


def test_the_input_goes_away_meanwhile(tmp_path, monkeypatch, model, one_line):
    import specmaskgit_cli.pipeline as pipeline

    load = pipeline.load

    def load_late(*args):
        (tmp_path / "in.wav").unlink()
        return load(*args)

    write_audio(tmp_path / "in.wav", np.sin(np.arange(9000) / 9), RATE)
    monkeypatch.setattr(pipeline, "load", load_late)
    line = one_line("vary", tmp_path / "in.wav", "--steps", "2", "--model", model, "-o", tmp_path / "out.wav")
    assert "in.wav: no such file" in line and not os.listdir(tmp_path)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("name", ["generator.safetensors", "onnx/head.onnx", "config.json", "SHA256SUMS"])
@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_model(tmp_path, trained, one_line, name, share, listed):
    copy = tmp_path / "model"
    shutil.copytree(trained[1], copy, copy_function=os.symlink)
    data = (copy / name).read_bytes()
    (copy / name).unlink()
    (copy / name).write_bytes(data[: int(share * len(data))])
    if listed and name != "SHA256SUMS":  # as if it had been packed so
        write_sums(copy)
    assert str(copy) in one_line("generate", "rain", *QUICK, "--model", copy, "-o", tmp_path / "out.wav")
    assert os.listdir(tmp_path) == ["model"]


# Endings

# Writes one sound after the other over the same file, and says so once there is one.
WRITER = """
import sys
import numpy as np
from specmaskgit_cli.audio.files import write_audio
noise = np.random.default_rng(0).uniform(-1, 1, 1 << 17)
while True:
    write_audio(sys.argv[1], noise, 22050, metadata={"comment": "x" * 500})
    print("written", flush=True)
"""


def test_killed_while_writing(tmp_path):
    draw = random.Random(0)
    for run in range(12):
        path = tmp_path / f"out.{'wav' if run % 2 else 'flac'}"
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(draw.uniform(0, 0.15))
            writer.send_signal(signal.SIGKILL)
        assert read_audio(path).samples.shape[1] == 1 << 17
        assert all(left.name.startswith((".smg-", "out.")) for left in tmp_path.iterdir())


def test_an_interrupt_leaves_nothing(tmp_path, model):
    command = [*SMG, "generate", "rain", "--seconds", "600", "--threads", "1", "--model", model, "-o", "out.wav"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as smg:
        maps = Path(f"/proc/{smg.pid}/maps")
        while maps.exists() and b"onnxruntime" not in maps.read_bytes():  # before, Python itself would be interrupted
            time.sleep(0.05)
        time.sleep(1 if maps.exists() else 5)
        smg.send_signal(signal.SIGINT)
        _, err = smg.communicate(timeout=300)
    assert smg.returncode in (130, -signal.SIGINT) and b"Traceback" not in err, err
    assert not os.listdir(tmp_path)


# Surroundings


@pytest.mark.parametrize("environment", [
    {"LANG": "C", "LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"}, {"TZ": "Nowhere/Land", "COLUMNS": "1", "TERM": "dumb", "HOME": "/nonexistent"},
])  # fmt: skip
def test_odd_environments(tmp_path, model, environment):
    name = "犬 שלום.wav"
    done = process(*generate(model, "-o", name), cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    record = read_record(tmp_path / name)
    assert record.options.prompt == "rain"
    shown = process("info", name, cwd=tmp_path, env=environment)
    assert shown.returncode == 0 and not shown.stderr, shown.stderr


def test_a_file_name_that_is_no_text(tmp_path, model):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.wav"
    done = process(*generate(model, "-o", os.fsdecode(name)), cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    for command in (["info"], ["replay", "--model", model, "--threads", "1"]):
        done = process(command[0], os.fsdecode(name), *command[1:])
        assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"\xff\xfe.replay.wav", b"\xff\xfe.wav"]


@pytest.mark.parametrize(
    "prompt",
    ["כלב נובח \u202eabc\u202c", "a\0b", "\a\x1b[31mred", "🐕" * 400, "rain " * 400, "e" + "\u0301" * 300, "\u200b"],
)
def test_odd_prompts(tmp_path, monkeypatch, model, capsys, prompt):
    monkeypatch.chdir(tmp_path)
    assert smg(["generate", prompt, *QUICK, "--model", model, "-o", "out.flac"]) == 0
    assert read_record("out.flac").options.prompt == prompt.strip()
    capsys.readouterr()
    assert smg(["info", "out.flac"]) == 0
    assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().out)


def test_file_names_at_the_limit(tmp_path, monkeypatch, model, one_line):
    monkeypatch.chdir(tmp_path)
    assert smg(generate(model, "-o", "x" * 251 + ".wav")) == 0
    assert "File name too long" in one_line(*generate(model, "-o", "x" * 252 + ".wav"))
    assert "File name too long" in one_line("info", "x" * 300)
    assert "zero byte" in one_line(*generate(model, "-o", "a\0.wav"))
    assert "null byte" in one_line("info", "a\0b.wav")
    assert len(os.listdir()) == 1


def test_clocks_may_jump(tmp_path, monkeypatch, model):
    ticks = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(time, "time", lambda: -1e9)
    assert smg(generate(model, "-o", str(tmp_path / "out.wav"))) == 0
    assert read_audio(tmp_path / "out.wav").samples.shape[1] == round(0.3 * RATE)


def test_the_same_sound_in_any_surroundings(tmp_path, model):
    sounds = []
    places = {"LC_ALL": "C", "TZ": "UTC"}, {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"}
    for index, environment in enumerate(places):
        done = process(*generate(model, "-o", f"{index}.wav"), cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        sounds.append((tmp_path / f"{index}.wav").read_bytes())
    assert sounds[0] == sounds[1]


@pytest.mark.parametrize("closed", [0, 1, 2, (0, 1, 2)])
def test_closed_standard_streams(tmp_path, model, closed):
    """The sound is written whole, or not at all and with an exit code that says so; there is no traceback."""
    numbers = closed if isinstance(closed, tuple) else (closed,)

    def close():
        for number in numbers:
            os.close(number)

    done = process(*generate(model, "-o", "out.wav"), cwd=tmp_path, preexec_fn=close)
    assert b"Traceback" not in done.stderr and b"this is a bug" not in done.stderr, done.stderr
    assert done.returncode == 0
    assert read_audio(tmp_path / "out.wav").samples.shape[1] == round(0.3 * RATE)
    assert os.listdir(tmp_path) == ["out.wav"]


@pytest.mark.parametrize("command", [["generate", "-", "-o", "out.wav"], ["batch", "-", "-o", "out"]])
def test_nothing_to_read_on_standard_input(tmp_path, command):
    done = process(*command, cwd=tmp_path, preexec_fn=lambda: os.close(0))
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2 and "standard input holds no" in line and not os.listdir(tmp_path)


def test_standard_output_that_is_full(tmp_path, model):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    for command in (generate(model, "-o", "-"), generate(model, "-o", "out.wav", "--json"), ["models", "show", model]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*SMG, *command], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=300)
        lines = done.stderr.decode().splitlines()
        assert done.returncode == 1 and len(lines) == 1, lines
        assert "No space left on device" in lines[0] and "this is a bug" not in lines[0]


def test_several_files_of_which_one_cannot_be(tmp_path, monkeypatch, model, one_line):
    monkeypatch.chdir(tmp_path)
    Path(numbered("out.wav", 3)[1]).mkdir()
    assert "out-2.wav is a directory" in one_line(*generate(model, "-o", "out.wav", "-n", "3"))
    assert os.listdir() == ["out-2.wav"]
