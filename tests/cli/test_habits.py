"""What people expect of a command line: standard input, many files at once, closing pipes, completion, no colours."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from support.json_page import parsed

from specmaskgit_cli.cli import main, progress, run
from specmaskgit_cli.sounds.record import read_record

FEW = ["--steps", "2", "--threads", "1", "--seed", "1"]
PROGRAM = "from specmaskgit_cli.cli import main; main()"


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    """An empty directory with two sounds, whose model is the tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    for index, name in enumerate(("a.wav", "b.flac")):
        soundfile.write(name, np.random.default_rng(index).standard_normal(8000) * 0.1, 8000)
    return tmp_path


def names(path=".") -> list[str]:
    return sorted(os.listdir(path))


def given(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# Prompts on standard input


@pytest.mark.parametrize("text", ["rain", "\ufeff  rain \r\n\r\n"])
def test_a_prompt_on_standard_input(folder, monkeypatch, text):
    given(monkeypatch, text.encode())
    assert run(["generate", "-", "-s", "0.3", "-o", "out.wav", *FEW]) == 0
    assert read_record("out.wav").options.prompt == "rain"


def test_each_line_is_a_prompt(folder, monkeypatch, capsys):
    given(monkeypatch, "rain\n\nכלב נובח\n".encode())
    assert run(["generate", "-", "-s", "0.3", "-n", "2", "-o", "out.wav", "--image", "x.png", *FEW, "--json"]) == 0
    found = [(sound["file"], sound["prompt"], sound["seed"]) for sound in parsed(capsys.readouterr().out)["sounds"]]
    rain, dog = "rain", "כלב נובח"
    assert found == [("out-1.wav", rain, 1), ("out-2.wav", rain, 2), ("out-3.wav", dog, 1), ("out-4.wav", dog, 2)]
    assert names() == ["a.wav", "b.flac", *(f"out-{i}.wav" for i in range(1, 5)), *(f"x-{i}.png" for i in range(1, 5))]
    assert run(["generate", dog, "-s", "0.3", "-o", "one.wav", *FEW]) == 0
    assert (folder / "one.wav").read_bytes() == (folder / "out-3.wav").read_bytes()


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        (b"", [], "holds no prompt"),
        (b" \n\t\n", [], "holds no prompt"),
        (b"\xff\xfe", [], "not valid UTF-8"),
        (b"rain\nbell\n", ["-o", "-"], "-o - holds one sound, not 2"),
    ],
)
def test_standard_input_that_is_no_prompt(folder, monkeypatch, capsys, data, more, words):
    given(monkeypatch, data)
    assert run(["generate", "-", "-s", "0.3", "-o", "out.wav", *FEW, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and names() == ["a.wav", "b.flac"]


# Many files at once


def test_many_inputs_into_a_directory(folder, capsys):
    assert run(["vary", "a.wav", "b.flac", "-o", "made", "-n", "2", "--image", "seen", *FEW]) == 0
    assert names("made") == ["a-1.wav", "a-2.wav", "b-1.flac", "b-2.flac"]
    assert names("seen") == ["a-1.png", "a-2.png", "b-1.png", "b-2.png"]
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert run(["vary", "b.flac", "-o", "one.flac", *FEW]) == 0
    assert (folder / "one.flac").read_bytes() == (folder / "made" / "b-1.flac").read_bytes()


@pytest.mark.parametrize("output", ["made", "made/"])
def test_one_input_into_a_directory(folder, output):
    if output == "made":
        os.mkdir(output)
    assert run(["loop", "a.wav", "--join", "0.2", "-o", output, *FEW]) == 0
    assert names("made") == ["a.wav"]


def test_inputs_without_a_name_for_the_output(folder):
    for command, more in {
        "inpaint": ["--start", "0.2", "--end", "0.4"],
        "continue": ["-s", "0.3"],
        "vary": [],
        "sketch": ["--prompt", "x"],
    }.items():
        assert run([command, "a.wav", "b.flac", *more, *FEW, "-q"]) == 0
    made = {f"{stem}.{word}.wav" for stem in "ab" for word in ("continued", "inpainted", "varied", "sketched")}
    assert set(names()) == made | {"a.wav", "b.flac"}


def test_one_of_many_fails_and_the_others_go_on(folder, capsys):
    (folder / "text.wav").write_text("no sound")
    soundfile.write("high.wav", np.random.default_rng(0).standard_normal(22050) * 0.1, 22050)
    inputs = ["a.wav", "text.wav", "gone.wav", "high.wav", "b.flac"]
    assert run(["extend", *inputs, "-o", "made", *FEW, "--json"]) == 1
    out, err = capsys.readouterr()
    found = parsed(out)
    assert [sound["input"] for sound in found["sounds"]] == ["a.wav", "b.flac"]
    assert [failure["input"] for failure in found["failures"]] == ["text.wav", "gone.wav"]
    assert found["unchanged"] == ["high.wav"] and names("made") == ["a.wav", "b.flac"]
    errors = [line for line in err.splitlines() if line.startswith("smg: error: ")]
    assert len(errors) == 3 and "text.wav" in errors[0] and "gone.wav" in errors[1] and "2 of 5" in errors[2]
    assert "smg: warning: b.flac: the sound ends" in err and "high.wav already has" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.wav", "b.flac", "-o", "out.wav"], "name a directory"),
        (["a.wav", "b.flac", "-o", "-"], "name a directory"),
        (["a.wav", "b.flac", "--image", "x.png"], "name a directory"),
        (["a.wav", "b.flac", "-o", "."], "a.wav is the input sound itself"),
        (["a.wav", "b.flac", "-o", "a.wav/x"], "cannot make the directory"),
        (["a.wav", "b.flac", "-o", "no/where"], "cannot make the directory"),
        (["a.wav", "./a.wav", "-o", "made"], "two results would be named made/a.wav"),
        (["gone/a.wav", "a.wav", "-o", "made"], "two results would be named made/a.wav"),
        (["a.wav", "b.varied.wav", "b.flac"], "b.varied.wav is the input sound itself"),
        (["gone.wav", "-o", "made/"], "no such file"),
        (["/", "-o", "out.wav"], "is a directory"),
        (["..", "-o", "made/"], "is a directory"),
        (["a.wav", "-n", "2", "-o", ""], "cannot be the name of a file"),
    ],
)
def test_what_is_refused_leaves_nothing(folder, capsys, arguments, words):
    soundfile.write("b.varied.wav", np.zeros(100), 8000)
    assert run(["vary", *arguments, *FEW]) in (1, 2)
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert words in line and "bug" not in line and out == ""
    assert names() == ["a.wav", "b.flac", "b.varied.wav"]


def test_info_and_show_take_many(folder, capsys):
    (folder / "text.wav").write_text("no sound")
    for command in ("info", "show"):
        assert run([command, "a.wav", "text.wav", "b.flac"]) == 1
        out, err = capsys.readouterr()
        assert "a.wav  1.00 s" in out and "b.flac  1.00 s" in out
        assert [line.startswith("smg: error: ") for line in err.splitlines()] == [True, True] and "text.wav" in err
    assert run(["show", "a.wav", "b.flac", "-o", "x.png"]) == 2 and not (folder / "x.png").exists()


# Pipes, exit codes, shells


def test_exit_codes(folder):
    done = [
        subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, timeout=120)
        for arguments in (["models", "list"], ["info", "gone.wav"], ["info"], ["info", "--nonsense", "a.wav"])
    ]
    assert [each.returncode for each in done] == [0, 1, 2, 2]
    assert [bool(each.stdout) for each in done] == [True, False, False, False]
    assert [each.stderr.count(b"\n") for each in done] == [0, 1, 1, 1]


@pytest.mark.parametrize("arguments", [["models", "list"], ["generate", "--help"], ["info", "a.wav", "--json"]])
def test_a_reader_that_has_enough(folder, arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert done.stderr == b"" and done.returncode in (0, 1)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("smg gen", ["generate"]),
        ("smg models ", ["list", "show", "verify", "pull", "push", "remove"]),
        ("smg generate --model def", ["default"]),
        ("smg generate --order ha", ["halton"]),
        ("smg vary --vocoder gr", ["griffin-lim"]),
        ("smg generate --like-w", ["--like-weight"]),
    ],
)
def test_completion(folder, monkeypatch, capsys, shell, words, found):
    environment = {
        "_SMG_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    out, err = capsys.readouterr()
    assert err == "" and "probe" not in out
    assert all(re.search(rf"(?m)(^|\"){re.escape(word)}", out) for word in found), out


def test_completion_is_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # of which shell the tests run in
    with pytest.raises(SystemExit) as caught:
        main(["--install-completion", "bash"])
    assert caught.value.code == 0
    assert "_smg_completion" in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("plain", [False, True])
def test_no_color(monkeypatch, plain):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(progress, "PATIENCE", 0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    with progress.progress_bar("working") as update:
        update(1, 4)
        update(3, 4)
    colours = re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m|\x1b\[[0-9;]*38;[0-9;]*m", terminal.getvalue())
    assert "working" in terminal.getvalue() and bool(colours) != plain
