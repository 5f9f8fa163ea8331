"""`smg export`: a model as self-contained ONNX files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..terminal import say
from . import common
from .report import print_json


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to write; new or empty.")],
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="[CHECKPOINT]", help="default, a directory, or owner/name on the Hub.", show_default=False
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise the generator's matrices to 8 bits.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Store weights in 16 bits: half the size.")] = False,
    as_model: Annotated[
        bool, typer.Option("--as-model", help="With --int8: write a model for --model, not files for other programs.")
    ] = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Write a model as ONNX files with the weights inside, each compared with the model first.

    Nothing is written where one differs by more than its tolerance. Example: smg export -o onnx-files
    """
    from ..checkpoint import resolve
    from ..export.standalone import ExportOptions, export_checkpoint, export_standalone

    if as_model and (fp16 or not int8):
        raise UsageError("--as-model needs --int8, and has no --fp16: models store 16 bits already")
    source = resolve(checkpoint)
    if as_model:
        reference, graphs = export_checkpoint(source, output)
        output = output / "onnx"
    else:
        reference, graphs = export_standalone(source, ExportOptions(output, int8, fp16))
    if as_json:
        document = {
            "model": source.config.name,
            "model_hash": source.hash,
            "directory": str(output),
            "compared_with": reference,
            "graphs": [dataclasses.asdict(graph) for graph in graphs],
        }
        print_json("export", document)
    elif not quiet:
        for item in graphs:
            say(
                f"{output / item.file}  {item.bytes / 1e6:.1f} MB  {item.precision}  opset {item.opset}  "
                f"error {item.error:.1e} (up to {item.tolerance:g})"
            )
        say(f"compared with the checkpoint on {reference}")
