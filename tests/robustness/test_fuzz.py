"""A few cases of the fuzzer, and that it would notice what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import fuzz

from specmaskgit_cli.errors import SmgError


def test_damaged_files_are_refused_in_one_line(trained):
    command = [sys.executable, "-m", "support.fuzz", "--cases", "60", "--seed", "0", "--checkpoint", str(trained[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=Path(fuzz.__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 cases" in done.stdout and " broken" not in done.stdout and " refused" in done.stdout


@pytest.mark.parametrize(
    "failure, expected", [(ValueError("odd"), "broken"), (MemoryError(), "broken"), (SmgError("clear"), "refused")]
)
def test_what_counts_as_broken(tmp_path, monkeypatch, failure, expected):
    def fail(*args):
        raise failure

    monkeypatch.setattr("specmaskgit_cli.audio.files.read_audio", fail)
    out = tmp_path / "out.wav"
    assert fuzz.judged(["info", "a.wav"], out)[0] == expected
    out.touch()
    assert fuzz.judged(["info", "a.wav"], out)[0] == "broken"


def test_a_lost_worker_is_noticed_and_replaced(monkeypatch):
    monkeypatch.setattr(fuzz, "work", fuzz.die)
    workers = fuzz.Workers(Path(), Path(), Path(), 0)
    for number in range(2):
        assert workers.run(number) == ("process", [("broken", "the process died (0)")])
    assert workers.restarts == 2
