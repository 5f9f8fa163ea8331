"""`smg probe`: what a linear classifier reads off the generator's hidden states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..terminal import say
from . import common
from .embed import Layer, Masked, layer_numbers
from .progress import progress_bar
from .report import print_json

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Folder, .tar shard or folder of shards.")]


def probe(
    data: Data,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table with file, label (several: a|b) and perhaps fold.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts to hold out in turn, where the data names none.")] = 5,
    fold: Annotated[str, typer.Option(metavar="FIELD", help="Column or JSON field that names a clip's fold.")] = "fold",
    where: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only clips with this value. Repeatable.")
    ] = None,
    layers: Layer = "all",
    masked: Masked = 0.0,
    strength: Annotated[float, typer.Option(help="Inverse of the classifier's regularisation.")] = 0.01,
    seed: Annotated[int, typer.Option(help="Of drawn folds and hidden tokens.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(metavar="NPZ", help="Keep the features here, for the next time.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write the report to.")] = None,
    model: common.Model = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.ReportOnly = False,
) -> None:
    """Measure how well a linear classifier tells labelled sounds apart by each layer, beside log-mel statistics.

    Example: smg probe sounds --folds 5, with a sub-folder of sounds for each label
    """
    from ..audio.files import atomic_path, check_writable
    from ..data.labels import read_labelled
    from ..data.remarks import Remarks
    from ..evaluation.probe import ProbeOptions, collect
    from ..evaluation.probe import probe as classify
    from ..pipeline import load
    from ..tasks.embed import EmbedOptions

    look, options = EmbedOptions(layer_numbers(layers), masked, seed), ProbeOptions(folds, strength, seed)
    for target in (cache, output):
        if target:
            check_writable(target)
    remarks = Remarks()
    clips = read_labelled(data, labels, fold, _conditions(where), remarks)
    for line in () if quiet else remarks.lines():
        say("smg:", line, error=True)
    with progress_bar("downloading", quiet) as progress:
        pipe = load(model, backend, device, threads, progress=progress)
    look.chosen(pipe.config)
    with progress_bar("embedding", quiet) as progress:
        features = collect(pipe, clips, look, cache, progress)
    results = classify(features, clips, options)
    document = {
        "model": pipe.config.name,
        "model_hash": pipe.checkpoint.hash,
        "clips": len(clips),
        "labels": sorted({label for clip in clips for label in clip.labels}),
        "masked": masked,
        "strength": strength,
        "features": results,
    }
    if output:
        with atomic_path(output) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json("probe", document)
    else:
        columns = list(next(iter(results.values())))
        say(f"{'features':<22}" + "".join(f"{key:>11}" for key in columns))
        for name, row in results.items():
            say(f"{name:<22}" + "".join(f"{row[key]:>11.3f}" for key in columns))


def _conditions(where: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in where or []]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise UsageError(f"--where is {name!r}; write FIELD=VALUE, such as source=ESC-10")
    return {name: value for name, _, value in pairs}
