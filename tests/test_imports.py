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
    "config decoding distributed bounds threads",
    "options",
    "audio checkpoint",
    "conditioning spectrogram",
    "models data",
    "runtime",
    "synthesis export",
    "tasks training convert",
    "sounds",
    "pipeline",
    "batch benchmark evaluation server",
    "cli",
    "__main__",
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
# Arrows that still point the wrong way, with the reason. This list only ever gets shorter.
ALLOWED = {
    ("tasks", "pipeline"): "tasks use the windows and the sampling of Pipeline, which are to move into synthesis",
    ("convert", "training"): "convert makes its checkpoint directory with a function of training.pack",
}


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


IMPORTS = {path.relative_to(ROOT): {to.relative_to(ROOT) for to in _imports(path)} for path in ROOT.rglob("*.py")}


def _arrows() -> dict[tuple[str, str], list[str]]:
    """The imports that do not point down, by what of the top of the package they join."""
    found: dict[tuple[str, str], list[str]] = {}
    for path, targets in IMPORTS.items():
        for target in targets:
            ends = path.parts[0].removesuffix(".py"), target.parts[0].removesuffix(".py")
            if ends[0] != ends[1] and LEVEL[ends[1]] >= LEVEL[ends[0]]:
                found.setdefault(ends, []).append(f"{path} -> {target}")
    return found


def test_every_folder_has_its_layer():
    assert {path.parts[0].removesuffix(".py") for path in IMPORTS} == set(LEVEL)


def test_imports_point_one_way():
    wrong = [line for ends, lines in _arrows().items() if ends not in ALLOWED for line in lines]
    assert not wrong, "\n".join(sorted(wrong))


def test_what_is_allowed_to_point_the_wrong_way_still_does():
    assert set(ALLOWED) <= set(_arrows()), "remove from ALLOWED what is mended"


def test_no_files_import_each_other_in_a_circle():
    down = {
        path: {to for to in targets if (path.parts[0], to.parts[0].removesuffix(".py")) not in ALLOWED}
        for path, targets in IMPORTS.items()
    }
    try:
        TopologicalSorter(down).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(str(path) for path in reversed(error.args[1])))


@pytest.mark.parametrize("code", ["import specmaskgit_cli", "from specmaskgit_cli.cli.app import app; app(['--help'])"])
def test_starting_imports_neither_numpy_nor_torch_nor_onnxruntime(code):
    script = f"import sys\ntry:\n    {code}\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert "specmaskgit_cli" in done.stderr.split()
    assert not {"numpy", "torch", "onnxruntime", "soundfile"} & set(done.stderr.split())
