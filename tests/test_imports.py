"""Imports point one way, from the command line down to the errors, and never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "specmaskgit_cli"
# What is at the top of the package, folders and files. Each imports itself and what stands on the lines above its own.
LAYERS = [
    "__init__ errors",
    "config decoding distributed bounds durable terminal threads",
    "options",
    "audio checkpoint",
    "conditioning spectrogram",
    "models data",
    "runtime",
    "synthesis export",
    "tasks training convert search",
    "sounds",
    "pipeline",
    "batch benchmark evaluation server",
    "cli",
    "__main__",
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
# Arrows that still point the wrong way, with the reason. This list only ever gets shorter.
ALLOWED: dict[tuple[str, str], str] = {}


def _imports(path: Path) -> set[Path]:
    """The files of the package that a file imports: at its top, inside functions, or for type checkers alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                files = [(place.with_suffix(".py"), place / "__init__.py") for place in (base / alias.name, base)]
                found.add(next(file for pair in files for file in pair if file.is_file()))
    return found - {path}


FILES = set(ROOT.rglob("*.py")) - {ROOT / "__init__.py"}  # which names everything public, for use from outside
ARROWS = [(path.relative_to(ROOT), to.relative_to(ROOT)) for path in FILES for to in _imports(path)]


def _tops(arrow: tuple[Path, ...]) -> tuple[str, ...]:
    return tuple(path.parts[0].removesuffix(".py") for path in arrow)


def _names(arrow: tuple[Path, ...]) -> set[tuple[str, ...]]:
    """What an arrow is called in ALLOWED."""
    return {_tops(arrow), tuple(path.as_posix() for path in arrow)}


HELD = [arrow for arrow in ARROWS if not _names(arrow) & set(ALLOWED)]


def test_everything_at_the_top_of_the_package_has_its_layer():
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")} == set(LEVEL)


def test_imports_point_one_way():
    levels = [(*(LEVEL[top] for top in _tops(arrow)), arrow) for arrow in HELD if len(set(_tops(arrow))) == 2]
    wrong = [arrow for level, target, arrow in levels if target >= level]
    assert not wrong, "\n".join(f"{path} imports {target}" for path, target in sorted(wrong))


def test_no_files_import_each_other_in_a_circle():
    graph: dict[Path, set[Path]] = {}
    for path, target in HELD:
        graph.setdefault(path, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(str(path) for path in reversed(error.args[1])))


def test_nothing_is_allowed_that_does_not_occur():
    assert set(ALLOWED) <= set().union(*map(_names, ARROWS)), "what is mended leaves ALLOWED"


@pytest.mark.parametrize("code", ["import specmaskgit_cli", "from specmaskgit_cli.cli.app import app; app(['--help'])"])
def test_starting_imports_neither_numpy_nor_torch_nor_onnxruntime(code):
    script = f"import sys\ntry:\n    {code}\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert "specmaskgit_cli" in done.stderr.split()
    assert not {"numpy", "torch", "onnxruntime", "soundfile"} & set(done.stderr.split())
