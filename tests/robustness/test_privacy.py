"""Nothing is sent and nothing is left behind: libraries that would do so by themselves are told not to."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME_OF_IT = ROOT / "specmaskgit_cli/runtime/ort.py"
QUICK = ["--seconds", "0.3", "--steps", "1", "--threads", "1"]
API = "from specmaskgit_cli import load; load(threads=1).generate('rain', seconds=0.3, steps=1).save('out.wav')"


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere, in functions too, from outside its own."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    called = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    names += [  # import_module("onnxruntime") and what is like it
        node.args[0].value
        for node in called
        if isinstance(node.args[0], ast.Constant) and "import" in ast.unparse(node.func)
    ]
    return {str(name).split(".")[0] for name in names}


def test_onnx_runtime_is_imported_in_one_place():
    found = {path for path in sources("specmaskgit_cli", "tests") if "onnxruntime" in imported(path)}
    assert found == {HOME_OF_IT}


@pytest.mark.parametrize("path", [HOME_OF_IT, ROOT / "examples/onnx_only.py"], ids=lambda path: path.name)
def test_telemetry_is_off_before_the_import(path):
    text = path.read_text(encoding="utf-8")
    assert 0 < text.index('os.environ["ORT_DISABLE_TELEMETRY"] = "1"') < text.index("\nimport onnxruntime")


@pytest.mark.parametrize("asked", [None, "0"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "specmaskgit_cli", "generate", "rain", *QUICK, "-o", "out.wav"],
        ["-m", "specmaskgit_cli", "batch", "jobs.csv", "-o", "out", "--workers", "2"],
        ["-c", API],
    ],
    ids=["generate", "batch", "python"],
)
def test_nothing_is_left_in_the_home_directory(tmp_path, arguments, asked):
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / "jobs.csv").write_text("prompt,seconds,steps\nrain,0.3,1\ndog barking,0.3,1\n")
    ours = ("ORT_", "XDG_", "HF_", "SMG_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    if asked is not None:  # whatever the user's other programs are told
        environment["ORT_DISABLE_TELEMETRY"] = asked
    done = subprocess.run([sys.executable, *arguments], cwd=work, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert len(list(work.rglob("*.wav"))) == (2 if "batch" in arguments else 1)
    assert list(home.rglob("*")) == []
