"""Every command in README.md and docs/ is one that the program takes; those of the README's table do what they say."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

from specmaskgit_cli.cli import run
from specmaskgit_cli.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
PLACEHOLDER = re.compile(r"\.\.\.|…|[<\[{][^>\]}]*[>\]}]$|\bTASK\b|\bCMD\b")
# Commands of the README that need a network, a microphone of a kind, hours, or that go on until they are stopped.
NOT_RUN = re.compile(
    r"ffplay|--play|owner/name|smg (ui|serve|mcp|benchmark|evaluate|train|probe|batch|stream|export)\b"
)


def commands_of(page: Path) -> list[tuple[str, bool]]:
    """The command lines `smg ...` of a page, with whether they are whole: those in blocks of code are, continued lines
    joined; those within the text may only name a command."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?:    |\$ )((?:.*[&|;] *)?smg .*)$", text, re.MULTILINE)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines += [line for line in block.splitlines() if re.match(r"\$? ?smg ", line)]
    spans = [span.replace("\\|", "|") for line in text.splitlines() for span in line.split("`")[1::2] if "smg " in span]
    return [(line, True) for line in lines] + [(span, False) for span in spans]


def calls(line: str) -> list[list[str]]:
    """The arguments of each call of `smg` in a line of a shell; none where it holds placeholders."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    words.whitespace_split = True
    words.commenters = "#"
    found: list[list[str]] = []
    inside = False
    for word in words:
        if re.fullmatch(r"[|&;<>()]+", word):
            inside = False
        elif word == "smg":
            found.append([])
            inside = True
        elif inside:
            found[-1].append(word)
    if "<(" in line:  # the output of another command in the place of a file
        return []
    return [call for call in found if call and not any(PLACEHOLDER.search(word) for word in call)]


@functools.cache
def whole_command():
    return typer.main.get_command(app)


def parse(args: list[str]) -> None:
    """Read a command line as the program does, without doing anything. Raises what it would complain with."""
    command, name, context = whole_command(), "smg", None
    while True:
        context = command.make_context(name, list(args), parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, args = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_program_takes_every_command_of_a_page(page):
    wrong = []
    for line, whole in commands_of(page):
        for call in calls(line):
            if call[0].startswith("-") or "--help" in call:
                continue
            try:
                parse(call)
            except Exception as error:
                cut = type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError") or "requires an" in str(error)
                if whole or not cut:
                    wrong.append(f"smg {' '.join(call)}: {type(error).__name__} {getattr(error, 'message', error)}")
    assert not wrong, "\n".join(wrong)


def test_commands_are_found():
    """Or the tests above would hold for a page that they cannot read."""
    found = [call for page in PAGES for line, _ in commands_of(page) for call in calls(line)]
    assert len(found) > 120
    assert {"generate", "inpaint", "extend", "continue", "sketch", "vary", "loop", "batch", "train", "models"} <= {
        call[0] for call in found
    }
    with pytest.raises(Exception, match="No such option"):
        parse(["generate", "rain", "--no-such-option"])


def test_the_commands_of_the_readme_do_what_they_say(tmp_path, trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    for folder in ("docs", "sounds"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for name in ("sounds/door", "mine", "in", "phone", "rain", "taps", "step", "wind", "dog", "cat", "out"):
        soundfile.write(f"{name}.wav", rng.uniform(-0.3, 0.3, 22050 * 2) * np.linspace(1, 0, 44100), 22050)
    done = []
    for line, _ in commands_of(ROOT / "README.md"):
        if NOT_RUN.search(line) or "<" in line:
            continue
        for call in calls(line):
            if "*.wav" in call or call[0] in ("doctor", "--version") or call[0].startswith("-"):
                continue
            if call[0] in ("generate", "continue") and not {"-s", "--seconds", "--at"} & set(call):
                call = [*call, "--seconds", "0.4"]  # tiny models are not fast, and their sounds not for listening
            elif "45" in call:
                call = ["1" if word == "45" else word for word in call]
            elif call[0] == "continue":
                call = ["1" if word == "20" else word for word in call]
            assert run([*call, "-q"] if call[0] not in ("info", "show", "models") else call) == 0, call
            done.append(call[0])
    assert len(done) >= 18
    assert {"generate", "inpaint", "extend", "continue", "sketch", "vary", "loop", "replay", "info"} <= set(done)
