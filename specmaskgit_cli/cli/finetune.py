"""`smg train finetune`: a finished model learns a folder of sounds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from ..terminal import say
from . import common
from .report import print_json
from .train_options import Batch, Device, Precision, Seed, Steps, Threads, told_unless, train_options


def finetune(
    folder: Annotated[Path, typer.Argument(help="Folder of your sounds, or shards.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint directory to make.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model to adapt: default, a directory, owner/name.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time budget.")] = 15, steps: Steps = None,
    batch: Batch = 24,
    lr: Annotated[float, typer.Option(help="Learning rate, as a share of that of training from scratch.")] = 0.1,
    rehearsal: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of a batch that keeps up what the model knows.")
    ] = 0.4,
    keep: Annotated[float, typer.Option(help="Weight of what it knows against what is new.")] = 1.0,
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Adapt a finished model to a folder of your sounds; the result is a model like any other.

    Example: smg train finetune my-sounds -o my-model, then smg generate "dog barking" --model my-model -o dog.wav
    """
    if not 0 < lr <= 1:
        raise SmgError(f"--lr {lr}: must be above 0, up to 1")
    options = train_options(minutes, steps, batch, seed, device, precision, threads)
    options = dataclasses.replace(
        options, muon_lr=options.muon_lr * lr, adam_lr=options.adam_lr * lr, warmup=20, decay=0.7, ema=0.99
    )
    from .. import distributed
    from ..checkpoint import resolve
    from ..training.finetune import FinetuneOptions
    from ..training.finetune import finetune as adapt

    if distributed.size() > 1:
        raise SmgError("smg train finetune works in one process; start it without torchrun")
    tuning = FinetuneOptions(rehearsal, keep)
    told = told_unless(quiet)
    results = adapt(resolve(model), folder, output, options, tuning, report=told)
    for key, value in results["after"].items():
        told(f"{key:<14} {results['before'][key]:8.3f} -> {value:.3f}")
    if as_json:
        print_json("train finetune", {"directory": str(output)} | results)
    elif not quiet:
        say(output)
