"""`smg embed`: features of sounds, for search, clustering and classifiers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..terminal import say
from . import common
from .progress import progress_bar
from .report import print_json

Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Sound files.", show_default=False)]
Layer = Annotated[str, typer.Option(metavar="N|all", help="Layer whose states to take; 0 is before the first.")]
Masked = Annotated[float, typer.Option(metavar="SHARE", help="Share of the tokens to hide from the model.")]


def embed(
    files: Files,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write: .npz.")],
    layer: Layer = "all",
    masked: Masked = 0.0,
    seed: Annotated[int, typer.Option(help="Of which tokens are hidden.")] = 0,
    model: common.Model = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Store features of sounds, from the hidden layers of the generator.

    Example: smg embed *.wav -o features.npz
    """
    from ..audio.files import check_writable
    from ..tasks.embed import EmbedOptions, save_embeddings

    started = time.perf_counter()
    options = EmbedOptions(layer_numbers(layer), masked, seed)
    if Path(output).suffix.lower() != ".npz":
        raise UsageError(f"-o is {output!r}; end the name in .npz")
    check_writable(output)

    from ..pipeline import load

    with progress_bar("downloading", quiet) as progress:
        pipe = load(model, backend, device, threads, progress=progress)
    options.chosen(pipe.config)
    embeddings = []
    with progress_bar("embedding", quiet) as progress:
        for file in files:
            embeddings.append(pipe.embed(file, options))
            if progress:
                progress(len(embeddings), len(files))
    about = {"model": pipe.config.name, "model_hash": pipe.checkpoint.hash, "masked": masked}
    save_embeddings(output, files, embeddings, about)
    seconds = time.perf_counter() - started
    if as_json:
        document = about | {
            "file": output,
            "files": files,
            "frames": [len(embedding.frames) for embedding in embeddings],
            "layers": list(embeddings[0].layers),
            "width": pipe.config.generator.width,
            "seconds_per_frame": embeddings[0].seconds_per_frame,
            "seconds_taken": round(seconds, 3),
        }
        print_json("embed", document)
    elif not quiet:
        say(
            f"{output}  {len(files)} sounds  {len(embeddings[0].layers)} layers of {pipe.config.generator.width}  "
            f"{sum(len(embedding.frames) for embedding in embeddings)} frames  {seconds:.2f} s"
        )


def layer_numbers(text: str) -> tuple[int, ...] | None:
    """ "all" to None, "3" to (3,), "2,5" to (2, 5). Raises UsageError for anything else."""
    if text == "all":
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"layer is {text!r}; use all, or numbers such as 3 or 2,5") from None
