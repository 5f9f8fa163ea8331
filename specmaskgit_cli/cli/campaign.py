"""`smg train bundle`, `campaign` and `import`: a whole training on a machine that is rented by the minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from . import common
from .report import print_json
from .train_options import Canvases, Data, Device, HoldOut, Precision, Preset, require_torch, sources_of, told_unless


def bundle(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    megabytes: Annotated[float, typer.Option(help="Size of a shard, at most.")] = 50,
    kilobits: Annotated[
        int | None, typer.Option(help="Bit rate of the clips; if not given, Opus clips stay and others get 24.")
    ] = None,
    hold_out: HoldOut = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Make a data set small for a journey: Opus in a few shards, and the embeddings of all captions.

    Example: smg train bundle --data sounds -o bundle
    """
    if not 1 <= megabytes <= 100_000:
        raise SmgError(f"--megabytes {megabytes:g}: use 1 to 100000")
    if kilobits is not None and not 6 <= kilobits <= 256:
        raise SmgError(f"--kilobits {kilobits}: use 6 to 256")
    from ..checkpoint.registry import resolve
    from ..data.bundle import write_bundle
    from ..runtime import open_runtime

    embed = open_runtime(resolve(None)).embed_text
    files = write_bundle(data, output, megabytes, embed, kilobits, sources_of(hold_out), told_unless(quiet))
    if as_json:
        print_json("train bundle", {"files": [str(file) for file in files]})


def campaign(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the weights, in files under 16 MB.")],
    scratch: Annotated[Path, typer.Option(help="Folder for decoded clips and runs.")],
    seconds: Annotated[float, typer.Option(help="From now to the end.")] = 780,
    preset: Preset = "large",
    device: Device = "cuda",
    precision: Precision = "bf16",
    earlier: Annotated[Path | None, typer.Option(help="Weights of an earlier campaign, to go on from.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that decode sounds and draw canvases.")] = 14,
    canvases: Canvases = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Train all stages of a model within a given time, several at once, and export them while they train.

    Example: smg train campaign --data bundle --scratch scratch --seconds 780 -o weights
    """
    require_torch()
    import torch

    from ..config.presets import PRESETS
    from ..training.campaign import Campaign

    if preset not in PRESETS:
        raise SmgError(f"--preset {preset}: choose from {', '.join(PRESETS)}")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise SmgError(f"--device {device}: not available on this machine") from None
    made = Campaign(data, output, scratch, seconds, preset, device, precision, earlier, workers, canvases)
    metrics = made.run(told_unless(quiet))
    if as_json:
        print_json("train campaign", {"directory": str(output), "metrics": metrics})


def import_(
    folder: Annotated[Path, typer.Argument(help="What a campaign exported.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the run directories.")],
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Make run directories of the weights that a campaign exported, to pack, refine or evaluate.

    Example: smg train import weights -o runs
    """
    require_torch()
    from ..training.portable import import_runs

    runs = import_runs(folder, output)
    for stage, run in runs.items():
        told_unless(quiet)(f"{stage}: {run}")
    if as_json:
        print_json("train import", {"runs": {stage: str(run) for stage, run in runs.items()}})
