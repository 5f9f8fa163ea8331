"""Reports for scripts: all commands have them, the page describes them, and no name or number breaks them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from support.json_page import described, parsed
from typer.main import get_command

from specmaskgit_cli.cli import run
from specmaskgit_cli.cli.app import app
from specmaskgit_cli.cli.report import print_json

WITHOUT_PROGRESS = ("info", "show", "models list")
FEW = ["--steps", "2", "--threads", "1", "--seed", "1"]


def leaves(command, name: str = ""):
    """(name, command) of all that can be run."""
    for child_name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, f"{name} {child_name}".strip())
    if not hasattr(command, "commands"):
        yield name, command


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    for name in ("a.wav", "b.wav"):
        soundfile.write(name, np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)
    return tmp_path


def test_every_command_reports_and_can_be_quiet():
    commands = dict(leaves(get_command(app)))
    assert len(commands) > 25
    for name, command in commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, name
        assert "--quiet" in options or name in WITHOUT_PROGRESS, name
        assert name in described(), f"docs/json.md says nothing of {name}"
    assert not set(described()) - set(commands)


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "rain", "-s", "0.3", "-n", "2", "--candidates", "2", "-o", "out.wav", *FEW],
        ["inpaint", "a.wav", "--start", "0.2", "--end", "0.4", "-o", "out.wav", *FEW],
        ["extend", "a.wav", "b.wav", "-o", "made", *FEW],
        ["continue", "a.wav", "-s", "0.3", "--image", "x.png", *FEW],
        ["vary", "a.wav", *FEW],
        ["sketch", "a.wav", "--prompt", "rain", *FEW],
        ["loop", "a.wav", "--join", "0.2", *FEW],
        ["stream", "rain", "--seconds", "1", "-o", "out.wav", "--steps", "1"],
        ["info", "a.wav", "b.wav"],
        ["show", "a.wav", "b.wav"],
        ["models", "list"],
        ["models", "show"],
        ["models", "verify"],
        ["embed", "a.wav", "-o", "out.npz"],
    ],
)
def test_a_report_is_what_the_page_says(folder, capsys, arguments):
    assert run([*arguments, "--json"]) == 0
    found = parsed(capsys.readouterr().out)
    name = " ".join(arguments[:2]) if arguments[0] == "models" else arguments[0]
    assert found["command"] == name
    assert "sounds" not in found or all(os.path.exists(sound["file"]) for sound in found["sounds"])


def test_training_reports(trained, sound_folder, tmp_path, capsys):
    sizes = ["--preset", "tiny", "--steps", "1", "--batch", "2", "--threads", "1", "-q"]
    where = ["--data", str(sound_folder), "-o", str(tmp_path / "run")]
    assert run(["train", "vocoder", *where, *sizes, "--json"]) == 0
    out, err = capsys.readouterr()
    assert parsed(out)["directory"] == str(tmp_path / "run") and err == ""


def test_the_page_is_held_to(folder, capsys):
    assert run(["models", "list", "--json"]) == 0
    text = capsys.readouterr().out
    for wrong in (text.replace('"models"', '"model"'), text.replace("models list", "info"), text.replace("[", "[3, ")):
        with pytest.raises((AssertionError, KeyError)):
            parsed(wrong)


def test_names_that_are_no_text(folder):
    name = os.fsencode(folder) + b"/\xff\xe9 \xe7\x8a\xac.wav"
    os.rename("a.wav", name)
    vary = ["vary", name, "-o", b"\xfe.wav", *FEW]
    for command, encoding in ((["info", name], "utf-8"), (["show", name], "latin-1"), (vary, "ascii")):
        done = subprocess.run(
            [sys.executable, "-m", "specmaskgit_cli", *command, "--json"], capture_output=True, timeout=120,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = parsed(done.stdout.decode("ascii"))
        (told,) = found.get("files") or found["sounds"]
        assert os.fsencode(told.get("input") or told["file"]) == name


def test_numbers_that_json_lacks_are_null(capsys):
    print_json("x", {"a": [float("nan"), 1.5, (float("-inf"),)], "b": {"c": float("inf")}})
    found = json.loads(capsys.readouterr().out)
    assert (found["a"], found["b"]) == ([None, 1.5, [None]], {"c": None})
