"""Nothing that is printed does anything to a terminal, whoever wrote it."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

import specmaskgit_cli
from specmaskgit_cli.checkpoint.layout import write_config, write_sums
from specmaskgit_cli.cli import run
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.evaluation.tables import Table, show
from specmaskgit_cli.terminal import REPLACED, printable, say

PACKAGE = Path(specmaskgit_cli.__file__).parent
CLIPBOARD = "\x1b]52;c;cm0gLXJm\x07"
PRINTING = ("print", "sys.stdout.write", "sys.stderr.write", "traceback.print_exc", "typer.echo", "typer.secho")
HOSTILE = [CLIPBOARD, "\x1b[2J", "\x9b31m", "\r", "\b", "\x7f", "\u202e", "\u2028", "\ud800"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_seen_is_replaced(text, capsys):
    say("a", text, error=True)
    say("b", text, lines=True)
    out, err = capsys.readouterr()
    for said in (out, err):
        assert REPLACED in said and not any(c in said for c in text if not c.isprintable())


def test_text_of_any_language_stays():
    for text in ("Größe 5 m", "雨　の音", "می‌خواهم", "👩‍🚒", "a b"):
        assert printable(text) == text
    assert printable("a\nb\tc", lines=True) == "a\nb\tc"
    assert printable("a\nb\tc") == f"a{REPLACED}b{REPLACED}c"


def test_nothing_else_prints():
    """Another call would print what it is given unseen; drawing with Rich is done where cells are made printable."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in PRINTING:
                found.append((str(path.relative_to(PACKAGE)), called))
    assert found == [("terminal.py", "print")] * 2


@pytest.fixture
def model(tmp_path):
    """A checkpoint that says hostile things in its name, its version, its card and its known sounds."""
    directory = tmp_path / "model"
    directory.mkdir()
    write_config(replace(PRESETS["tiny"], name=f"nice{CLIPBOARD}", version="1\x1b[2J"), directory)
    (directory / "README.md").write_text(f"# Card\n\n{CLIPBOARD}text\x1b[31m")
    (directory / "known_sounds.json").write_text(json.dumps([f"rain{CLIPBOARD}\nsmg: all is well"]))
    write_sums(directory)
    return directory


def test_a_model_says_nothing_to_the_terminal(model, capsys):
    assert run(["models", "show", str(model)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert "# Card\n\n" in out and "\nsmg: all is well" not in out


def test_lists_of_files_name_only_what_can_be_shown(model, capsys):
    sums = model / "SHA256SUMS"
    sums.write_text(sums.read_text() + f"{'0' * 64}  \x1b[31m.json\n")
    assert run(["models", "verify", str(model)]) == 1
    out, err = capsys.readouterr()
    assert "not a SHA-256 sum of a file" in err and "\x1b" not in out + err


def test_names_of_files_in_errors(tmp_path, capsys):
    for command in (["info"], ["show"], ["models", "show"], ["vary"]):
        assert run([*command, f"{tmp_path}/x{CLIPBOARD}.wav"]) != 0
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "\x1b" not in err and "\x07" not in err


@pytest.mark.parametrize("terminal", [True, False])
def test_tables(terminal, monkeypatch, capsys):
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    show([Table(f"title{CLIPBOARD}", [f"name{CLIPBOARD}", "value"], [[f"cell{CLIPBOARD}", 1.0]])])
    out = capsys.readouterr().out
    assert "cell" in out and "\x07" not in out and "\x1b]" not in out
