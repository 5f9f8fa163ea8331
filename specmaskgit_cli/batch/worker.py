"""What one worker does: a job to the bytes of its files, with a model that is loaded once."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import SmgError
from .jobs import Job


@dataclass(frozen=True)
class Setup:
    """How a worker opens its model; see `pipeline.load`."""

    model: str | None = None
    vocoder: str | None = None
    backend: str = "auto"
    device: str = "cpu"


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        files: (seed, seconds, bytes of the file) for each sound; empty where an edit found nothing to do.
        warnings: one line each.
        seconds_taken: by all of it.
        error: why it failed; None if it did not.
    """

    files: tuple[tuple[int, float, bytes], ...] = ()
    warnings: tuple[str, ...] = ()
    seconds_taken: float = 0.0
    error: str | None = None


class Worker:
    """A model, one thread, and a directory for files on their way.

    Args:
        model_hash: of the model that is wanted.
        scratch: where to put files while they are made; None makes a temporary directory for each job.

    Raises:
        SmgError: the model cannot be opened, or is another one on this machine.
    """

    def __init__(self, setup: Setup, model_hash: str, scratch: str | None = None):
        from ..pipeline import load

        self.pipe = load(setup.model, setup.backend, setup.device, 1, setup.vocoder)
        if self.pipe.checkpoint.hash != model_hash:
            raise SmgError(
                f"a worker has another model ({self.pipe.checkpoint.hash}) than {model_hash} by the name of "
                f"{setup.model or 'default'}; install or pull the same one on every machine"
            )
        self.scratch = scratch

    def perform(self, job: Job, data: bytes | None = None) -> Outcome:
        """Do a job; whatever fails is told in the outcome. `data`: the file it reads, where its path is not here."""
        started = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
                files, warnings = self._perform(job, data, Path(folder))
        except Exception as error:  # one row must not end the others
            return Outcome(error=_one_line(error), seconds_taken=time.perf_counter() - started)
        return Outcome(files, warnings, time.perf_counter() - started)

    def _perform(self, job: Job, data: bytes | None, folder: Path):
        options = job.options
        if data is not None:
            copy = folder / f"input{Path(job.read).suffix}"
            copy.write_bytes(data)
            options = options.with_source(str(copy))
        try:
            sounds = self.pipe.make(options)
        except SmgError as error:
            raise error if data is None else SmgError(str(error).replace(str(copy), job.read)) from None
        files, warnings = [], []
        for sound, name in zip(sounds, job.names, strict=False):
            # The file tells of the path that the row names, not of a copy.
            named = dataclasses.replace(sound, options=sound.options.with_source(job.path))
            path = folder / f"sound{Path(name).suffix}"
            saved = named.save(str(path), output=job.output)
            warnings += saved.warnings
            files.append((saved.seed, round(saved.seconds, 6), path.read_bytes()))
        return tuple(files), tuple(dict.fromkeys(warnings))


def _one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, SmgError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
