"""`smg evaluate`: measurements of a model on your own sounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import common
from .progress import progress_bar

app = typer.Typer(help="Measure a model on your own sounds.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def evaluate() -> None:
    """Measure a model on your own sounds."""


@app.command()
def edits(
    data: Annotated[list[Path], typer.Option("--data", help="Folder of audio, .tar shard, or folder of shards.")],
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 32,
    steps: Annotated[int, typer.Option(min=1, max=256, help="Decoding steps.")] = 16,
    prompts: Annotated[bool, typer.Option("--prompts", help="Go by the clips' captions.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first clip.")] = 0,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure extension, inpainting, continuation and loops against the originals and simple baselines.

    Shards named val* are used if there are any, else all that is given.
    """
    from ..pipeline import load

    pipe = load(model, backend, device, threads, vocoder)
    from ..evaluation.edits import evaluate_edits

    with progress_bar("evaluating", quiet) as progress:
        report = progress and (lambda done: progress(done, clips))
        results = evaluate_edits(pipe, data, clips, steps, prompts, seed, report)
    if as_json:
        document = {"model": pipe.config.name, "model_hash": pipe.checkpoint.hash, "steps": steps} | results
        print(json.dumps(document, indent=2))
        return
    for task, row in results.items():
        for name, value in row.items():
            print(f"{task:<10} {name:<26} {value:10.4g}")
