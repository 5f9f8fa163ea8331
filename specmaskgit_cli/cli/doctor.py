"""`smg doctor`: what is installed, found and fast."""

from __future__ import annotations

import sys

from ..errors import SmgError
from ..terminal import say
from . import common
from .player import players
from .report import print_json

# Distributions: what each is for. The first group is part of every installation.
CORE = (
    "numpy", "onnxruntime", "soundfile", "soxr", "tokenizers", "safetensors", "huggingface-hub", "threadpoolctl",
    "typer", "rich", "mutagen",
)  # fmt: skip
EXTRAS = ("torch", "onnx", "transformers", "diffusers", "starlette", "uvicorn", "mcp")


def doctor(
    model: common.Model = None,
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Tell what is installed, whether the model is whole, and how fast it runs here.

    Ends with exit code 1 if something that is needed is missing or damaged.
    """
    findings = {"program": _program(), "packages": _packages(), "machine": _machine()}
    problems = [f"{name} is not installed" for name in CORE if findings["packages"][name] is None]
    for name, find in (("model", lambda: _model(model)), ("speed", lambda: _speed(model, threads))):
        try:
            findings[name] = find()
        except SmgError as error:
            problems.append(str(error))
            break
    if as_json:
        print_json("doctor", findings | {"problems": problems})
    elif not quiet:
        _print(findings)
        if not problems:
            say("\neverything smg needs is here", lines=True)
    if problems:
        raise SmgError("; ".join(problems))


def _program() -> dict:
    import platform
    from pathlib import Path

    from .. import __version__

    return {
        "smg": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "installed_in": str(Path(__file__).parents[1]),
        "command": _command(),
    }


def _command() -> str:
    """What the shell runs where `smg` is typed: another program installs a command of that name, too."""
    import shutil
    from pathlib import Path

    found = shutil.which("smg")
    if found is None:
        return "no smg in the PATH; type python -m specmaskgit_cli"
    try:
        ours = b"specmaskgit_cli" in Path(found).read_bytes()
    except OSError:
        ours = False
    return found if ours else f"{found} is of another program; type specmaskgit"


def _packages() -> dict[str, str | None]:
    from importlib import metadata

    found = {}
    for name in CORE + EXTRAS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _machine() -> dict:
    import os

    from ..threads import allowed_threads

    return {
        "cores": os.cpu_count(),
        "cores_for_this_process": allowed_threads(),
        "players": players(),
        "terminal": sys.stderr.isatty(),
        "offline": os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"),
    }


def _model(name: str | None) -> dict:
    """The model, every file checked. Raises SmgError where it is missing or damaged."""
    from ..checkpoint import registry, resolve
    from ..checkpoint.layout import inspect_files

    checkpoint = resolve(name)
    bad = [file for file, state in inspect_files(checkpoint.directory).items() if state not in ("ok", "not listed")]
    if bad:
        raise SmgError(f"{checkpoint.directory}: damaged {', '.join(bad)}; pull or pack it again")
    return {
        "name": checkpoint.config.name,
        "version": checkpoint.config.version,
        "hash": checkpoint.hash,
        "directory": str(checkpoint.directory),
        "others_on_this_computer": [other for other, _ in registry.cached()],
    }


def _speed(name: str | None, threads: int | None) -> dict:
    """Time to open the model and to make one sound of 4 s."""
    import time

    from ..pipeline import load

    started = time.perf_counter()
    pipe = load(name, threads=threads)
    pipe.generate("dog barking", seconds=0.5, seed=0)
    opened = time.perf_counter()
    sound = pipe.generate("dog barking", seconds=4.0, seed=0)
    return {
        "backend": pipe.runtime.backend,
        "seconds_to_open": round(opened - started, 2),
        "seconds_for_a_sound_of_4_s": round(sound.seconds_taken, 2),
        "times_real_time": round(4 / sound.seconds_taken, 1),
    }


def _print(findings: dict) -> None:
    for title, values in findings.items():
        say(title)
        for name, value in values.items():
            if isinstance(value, list):
                value = ", ".join(value) or "none"
            if isinstance(value, bool):
                value = "yes" if value else "no"
            say(f"  {name.replace('_', ' '):<28} {'not installed' if value is None else value}")
