"""A batch from its jobs to its files: what was done is left alone, the rest is shared out and written as it comes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..audio.files import check_output
from ..checkpoint.registry import ENVIRONMENT, expanded, resolve
from ..config.settings import GRIFFIN_LIM
from ..errors import SmgError, UsageError
from ..pipeline import Progress
from .jobs import Job
from .results import Results
from .worker import Outcome, Setup

ENGINES = ("local", "ray")
MAX_WORKERS = 1024


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How a batch is done.

    Attributes:
        setup: the model of all workers.
        engine: "local": processes on this machine; "ray": a Ray cluster.
        workers: at most; 1 with the local engine is this process itself. None: as many as there are CPUs.
        force: do again what was done before.

    Raises:
        UsageError: a value that is not among these.
    """

    setup: Setup = field(default_factory=Setup)
    engine: str = "local"
    workers: int | None = None
    force: bool = False

    def __post_init__(self):
        if self.engine not in ENGINES:
            raise UsageError(f"unknown engine {self.engine!r}; use {' or '.join(ENGINES)}")
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"workers is {self.workers}; use 1 to {MAX_WORKERS}")


@dataclass(frozen=True)
class Summary:
    """What became of the rows: how many, and the messages of those that failed. `files`: written by this run."""

    directory: str
    model: str
    model_hash: str
    rows: int
    done: int
    skipped: int
    nothing: int
    failed: int
    files: int
    failures: tuple[dict, ...]


def run_batch(
    jobs: list[Job],
    directory: str | os.PathLike,
    options: BatchOptions,
    report: Callable[[str, str], None] = lambda kind, text: None,
    progress: Progress | None = None,
    downloading: Progress | None = None,
) -> Summary:
    """Do jobs, write their sounds into a directory and a line for each row into its results.jsonl.

    Args:
        report: is told ("error" or "warning", a line) as the rows end.
        progress: is told (rows done, rows to do).
        downloading: is told (bytes done, bytes in all) where a model has to be downloaded.

    Raises:
        SmgError: a model or the directory cannot be used, or a row names a file that cannot be written: all before any
            work; or nothing can be written any more.
    """
    setup = _anywhere(options.setup)
    checkpoint = resolve(setup.model, downloading)
    origin = _origin(setup, checkpoint.hash, downloading)
    with Results(directory) as results:
        read = {os.path.realpath(job.path) for job in jobs if job.path is not None}
        for job in jobs:
            _check_targets(job, results.directory, read)
        keys = {job.row: job.key(origin) for job in jobs}
        todo = [job for job in jobs if options.force or results.done(keys[job.row]) is None]
        counts, failures, files = Counter(), [], 0
        with closing(_outcomes(setup, checkpoint.hash, results, todo, options)) as outcomes:
            for index, (job, outcome) in enumerate(outcomes, 1):
                line = _store(job, keys[job.row], outcome, results)
                for warning in outcome.warnings:
                    report("warning", f"{job.place}: {warning}")
                if line["error"]:
                    report("error", f"{job.place}: {line['error']}")
                    failures.append({"row": job.row, "error": line["error"]})
                    results.check_room()
                counts[line["status"]] += 1
                files += len(line["files"])
                if progress:
                    progress(index, len(todo))
    return Summary(
        str(directory), checkpoint.config.name, checkpoint.hash, len(jobs), counts["done"], len(jobs) - len(todo),
        counts["nothing"], counts["failed"], files, tuple(failures),
    )  # fmt: skip


def _outcomes(
    setup: Setup, model_hash: str, results: Results, jobs: list[Job], options: BatchOptions
) -> Iterator[tuple[Job, Outcome]]:
    if not jobs:
        return
    scratch = str(results.scratch.absolute())
    if options.engine == "ray":
        from .on_ray import on_ray

        yield from on_ray(setup, model_hash, jobs, options.workers)
        return
    from ..threads import allowed_threads
    from .local import in_process, in_processes

    workers = min(options.workers or allowed_threads(), len(jobs))
    if workers == 1:
        yield from in_process(setup, model_hash, scratch, jobs)
    else:
        yield from in_processes(setup, model_hash, scratch, jobs, workers)


def _store(job: Job, key: str, outcome: Outcome, results: Results) -> dict:
    """Write the files of a job and its line, which it returns."""
    files, error = [], outcome.error
    try:
        for name, (seed, seconds, data) in zip(job.names, outcome.files, strict=False):
            results.write(name, data)
            digest = hashlib.sha256(data).hexdigest()
            files.append({"file": name, "sha256": digest, "seed": seed, "seconds": seconds})
    except SmgError as problem:
        error = str(problem)
    line = {
        "row": job.row,
        "key": key,
        "status": "failed" if error else "done" if files else "nothing",
        "files": files,
        "seed": job.options.seed,
        "seconds_taken": round(outcome.seconds_taken, 3),
        "warnings": list(outcome.warnings),
        "error": error,
    }
    results.append(line)
    return line


def _anywhere(setup: Setup) -> Setup:
    """With models named so that they mean the same in another process and directory."""
    model = setup.model or os.environ.get(ENVIRONMENT) or None
    return dataclasses.replace(setup, model=_absolute(model), vocoder=_absolute(setup.vocoder))


def _absolute(model: str | None) -> str | None:
    if model is not None and (directory := expanded(model)).is_dir():
        return str(directory.absolute())
    return model


def _origin(setup: Setup, model_hash: str, downloading: Progress | None) -> dict[str, str | None]:
    """What decides on the samples beside the options."""
    vocoder = setup.vocoder
    if vocoder not in (None, GRIFFIN_LIM):
        vocoder = resolve(vocoder, downloading).hash
    backend = setup.backend
    if backend == "auto":
        backend = "onnx" if setup.device == "cpu" else "torch"
    return {"model_hash": model_hash, "vocoder": vocoder, "backend": backend, "device": setup.device}


def _check_targets(job: Job, directory: Path, read: set[str]) -> None:
    """Refuse what could not be written, lies outside of the directory, or is among the files that rows read."""
    inside = directory.resolve()
    for name in job.names:
        target = directory / name
        folder = target.parent.resolve()
        if not folder.is_relative_to(inside):
            raise UsageError(f"{job.place}, column output: {name} leads out of {directory}; name a file inside")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{job.place}, column output: {folder} is a file; name another folder")
        # A folder that is not there yet will be made; what else could be wrong shows beside it.
        shown = target if folder.exists() else directory / target.name
        try:
            check_output(shown, bits=job.output.bits, rate=job.output.rate)
        except SmgError as error:
            raise UsageError(f"{job.place}: {error}") from None
        if os.path.realpath(target) in read:
            raise UsageError(f"{job.place}, column output: {target} is a sound that a row reads; name another file")
