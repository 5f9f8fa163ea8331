"""Options that the training commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from ..terminal import say

Data = Annotated[
    list[Path], typer.Option("--data", help="Folder of audio, .tar shard, or folder of shards. Repeatable.")
]
Run = Annotated[Path, typer.Option("-o", "--output", help="Run directory. An existing run is continued.")]
Minutes = Annotated[float, typer.Option(help="Time budget, earlier parts of the run included.")]
Steps = Annotated[int | None, typer.Option(help="Stop after so many steps, if sooner.")]
Batch = Annotated[int, typer.Option(help="Examples a step, of all processes together.")]
Accumulate = Annotated[
    int, typer.Option(help="Compute a step's examples in so many parts, one after another, to save memory.")
]
Workers = Annotated[int, typer.Option(help="Processes that decode sounds and prepare examples ahead, for a fast GPU.")]
Preset = Annotated[str, typer.Option(help="Size of the models: full, large, small, paper or tiny.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Device = Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str, typer.Option(help="fp32 or bf16.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all that are available if not given.")]
Text = Annotated[
    Path | None,
    typer.Option(
        "--text-encoder",
        help="Directory with a text encoder, such as a converted CLAP, or the texts.safetensors of a bundle; "
        "the shipped encoder if not given.",
    ),
]
SaveMinutes = Annotated[float, typer.Option(help="Time between saves.")]
ValidateMinutes = Annotated[float, typer.Option(help="Time between validations.")]
Canvases = Annotated[
    int | None,
    typer.Option(help="Canvases to draw and encode before training; 40 for each clip, at most 50000, if not given."),
]
HoldOut = Annotated[
    Path | None,
    typer.Option(help="File of sources, one a line: clips whose JSON names one of them are left out."),
]


def train_options(
    minutes, steps, batch, seed, device, precision, threads, accumulate=1, workers=0, save=3.0, validate=5.0
):  # fmt: skip
    """Check the shared options, join the other processes if there are any, and make the loop's options.

    Raises:
        SmgError: torch is missing or a value is out of range.
    """
    if not minutes > 0:
        raise SmgError(f"--minutes {minutes}: must be more than 0")
    for name, value in (("save", save), ("validate", validate)):
        if not value > 0:
            raise SmgError(f"--{name}-minutes {value}: must be more than 0")
    if batch < 1:
        raise SmgError(f"--batch {batch}: must be at least 1")
    if steps is not None and steps < 1:
        raise SmgError(f"--steps {steps}: must be at least 1")
    for name, value, least in (("accumulate", accumulate, 1), ("workers", workers, 0)):
        if value < least:
            raise SmgError(f"--{name} {value}: must be at least {least}")
    if precision not in ("fp32", "bf16"):
        raise SmgError(f"--precision {precision}: must be fp32 or bf16")
    require_torch()
    import torch

    from .. import distributed
    from ..threads import allowed_threads
    from ..training.loop import TrainOptions

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise SmgError(f"--device {device}: not available on this machine") from None
    device = distributed.join(device)
    parts = distributed.size() * accumulate
    if batch < parts:
        raise SmgError(f"--batch {batch}: less than one example for each of {parts} parts; use {parts} or more")
    torch.set_num_threads(threads or max(1, allowed_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    return TrainOptions(
        minutes=minutes, steps=steps, batch=batch, accumulate=accumulate, workers=workers, seed=seed, device=device,
        precision=precision, save_minutes=save, validate_minutes=validate,
    )  # fmt: skip


def sources_of(file: Path | None, option: str = "--hold-out") -> frozenset[str]:
    """The lines of a file of sources, named by an option. Raises SmgError if it cannot be read."""
    if file is None:
        return frozenset()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SmgError(f"{option} {file}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    return frozenset(line.strip() for line in lines if line.strip())


def require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise SmgError("training needs PyTorch: pip install '.[torch]' in a checkout of smg") from None


def told_unless(quiet: bool) -> Callable[[str], None]:
    """What says something on standard error, once however many processes train; or says nothing."""

    def report(text: str) -> None:
        from .. import distributed

        if not (quiet or distributed.rank()):
            say(text, error=True, lines=True)

    return report


def text_files(given: Path | None) -> Path:
    """Where the text encoder is: as given, or the shipped one."""
    from ..checkpoint.registry import shipped

    return given or shipped()
