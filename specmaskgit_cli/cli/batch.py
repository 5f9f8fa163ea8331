"""`smg batch`: many sounds from a table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from ..terminal import say
from . import common
from .progress import progress_bar
from .report import print_json


def batch(
    jobs: Annotated[
        str, typer.Argument(metavar="JOBS", help="Rows as .csv or .jsonl; - is JSON Lines on standard input.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Directory for sounds and results.")],
    format: Annotated[str, typer.Option(help="Of files without an extension: wav, flac, ogg, opus or mp3.")] = "wav",
    workers: Annotated[int | None, typer.Option(help="At most; all CPUs if not given. 1: in this process.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
    force: Annotated[bool, typer.Option("--force", help="Do again what was done before.")] = False,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Do the rows of a table, a sound or an edit each; run again, it does those that are missing.

    Example: smg batch jobs.csv -o sounds
    """
    from ..batch.jobs import check_format, make_jobs
    from ..batch.run import BatchOptions, run_batch
    from ..batch.table import STDIN, read_rows
    from ..batch.worker import Setup

    started = time.perf_counter()
    options = BatchOptions(setup=Setup(model, vocoder, backend, device), engine=engine, workers=workers, force=force)
    folder = Path() if jobs == STDIN else Path(jobs).parent
    listed = make_jobs(read_rows(jobs), folder, check_format(format))

    def report(kind: str, text: str) -> None:
        if kind == "error" or not quiet:
            say(f"smg: {kind}:", text, error=True)

    with progress_bar("downloading", quiet) as downloading, progress_bar("making sounds", quiet) as progress:
        summary = run_batch(listed, output, options, report, progress, downloading)
    taken = time.perf_counter() - started
    if as_json:
        document = vars(summary) | {"seconds_taken": round(taken, 3)}
        print_json("batch", document)
    elif not quiet:
        parts = [f"{summary.done} of {summary.rows} rows done"]
        for count, what in ((summary.skipped, "done before"), (summary.nothing, "with nothing to do")):
            parts += [f"{count} {what}"] if count else []
        say(f"{output}: {', '.join(parts)}; {summary.files} files in {taken:.1f} s")
    if summary.failed:
        raise SmgError(f"{summary.failed} of {summary.rows} rows failed; run the same again to try only those")
