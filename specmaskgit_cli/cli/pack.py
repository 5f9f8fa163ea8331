"""`smg train pack`: runs to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from ..terminal import say
from . import common
from .report import print_json
from .train_options import HoldOut, Text, require_torch, sources_of, text_files, told_unless


def pack(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run directories of stages; embedder, vocoder and envelope may be left out, the first two converted."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint directory to make.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="The training data, for known sounds, their styles and credits.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the checkpoint.")] = "custom",
    version: Annotated[str, typer.Option(help="Version of the checkpoint.")] = "1",
    license: Annotated[str, typer.Option(help="License of the weights, an SPDX identifier.")] = "",
    training_data: Annotated[str, typer.Option(help="One line about the training data.")] = "",
    notes: Annotated[
        Path | None, typer.Option(help="Markdown to put into the model card, such as measured results.")
    ] = None,
    text_encoder: Text = None,
    hold_out: HoldOut = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Assemble a checkpoint directory from one run of each stage."""
    require_torch()
    from ..training.card import credits, model_card
    from ..training.converted import clap_among
    from ..training.loop import run_config
    from ..training.pack import pack as assemble

    cache, clips = None, []
    if data:
        from ..data.clips import open_cache

        told = told_unless(quiet)
        cache = open_cache(data, run_config(runs[0]).mel, report=told, waves=False, hold_out=sources_of(hold_out))[0]
        clips = cache.clips
    if notes and not notes.is_file():
        raise SmgError(f"--notes {notes}: no such file")
    if not runs:
        raise SmgError("name the run directories to pack")
    text = notes.read_text(encoding="utf-8") if notes else ""
    documents = {"README.md": model_card(name, license, training_data, runs, clips, text)}
    if clips:
        documents["CREDITS.md"] = credits(clips)
    assemble(
        runs, text_files(text_encoder or clap_among(runs)), output, name=name, version=version, license=license,
        training_data=training_data, clips=cache, documents=documents, report=told_unless(quiet),
    )  # fmt: skip
    if as_json:
        from ..checkpoint import load_checkpoint

        checkpoint = load_checkpoint(output)
        print_json("train pack", {"directory": str(output), "model": name, "model_hash": checkpoint.hash})
    elif not quiet:
        say(output)
