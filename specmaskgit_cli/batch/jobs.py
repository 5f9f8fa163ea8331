"""From rows to jobs: every value checked by the options of its task, every file named, before any work begins."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from .. import __version__
from ..audio.encoding import FORMATS
from ..data.tables import Row
from ..errors import SmgError, UsageError
from ..options import OutputOptions, SamplingOptions, options_of
from ..sounds.names import slug, with_stems
from ..sounds.record import check_size, sha256
from ..tasks import TASKS, task_of

FORMAT = 1  # of the keys; another one does all rows again
NAME_BYTES = 200  # of the 255 that file systems take
_OUTPUT = tuple(options_of(OutputOptions))
_OPTIONS = dict.fromkeys(name for task in TASKS.values() for name in options_of(task.options))
_COLUMNS = tuple(dict.fromkeys(("task", *_OPTIONS, *_OUTPUT, "output")))


class _CellError(UsageError):
    """A value that is wrong, by its column."""

    def __init__(self, column: str, problem: str):
        super().__init__(f"column {column}: {problem}")


@dataclass(frozen=True)
class Job:
    """A row that was checked.

    Attributes:
        row: its number, and `place` file, row and line, for messages.
        options: of the task, with a seed; the path of the sound it reads is absolute.
        output: how to finish the sounds.
        name: of the file within the directory of the batch, with "/" between its parts.
        read: the sound file it reads as the row names it, or None.
        digest: SHA-256 of that file.
    """

    row: int
    place: str
    options: SamplingOptions
    output: OutputOptions
    name: str
    read: str | None = None
    digest: str | None = None

    @property
    def path(self) -> str | None:
        """Where the sound lies that it reads."""
        return self.options.source

    @property
    def names(self) -> list[str]:
        """The files of all its sounds: out.wav, or out-1.wav, out-2.wav..., each followed by those of its stems."""
        if self.options.num == 1:
            return with_stems(self.name, self.options)
        stem, dot, extension = self.name.rpartition(".")
        names = [f"{stem}-{index}{dot}{extension}" for index in range(1, self.options.num + 1)]
        return [each for name in names for each in with_stems(name, self.options)]

    def key(self, origin: dict[str, str | None]) -> str:
        """What says that the row was done: all that decides on its files. `origin`: of the model and the like."""
        return _digest(
            {
                "format": FORMAT,
                "version": __version__,
                "origin": origin,
                "task": task_of(self.options).name,
                "options": self.options.with_source(self.read).to_dict(),
                "output": self.output.to_dict(),
                "name": self.name,
                "input_sha256": self.digest,
            }
        )


def make_jobs(rows: list[Row], folder: Path, format: str = "wav") -> list[Job]:
    """Check all rows.

    Args:
        folder: what the paths in the rows are relative to.
        format: of files whose rows do not say it by an extension.

    Raises:
        UsageError: the first row that is wrong, with file, row and column, and how many there are beside it.
    """
    _check_columns(rows)
    jobs, errors, digests, same = [], [], {}, Counter()
    for row in rows:
        try:
            jobs.append(_job(row, folder, format, digests, same))
        except SmgError as error:
            errors.append(f"{row.place}{',' if isinstance(error, _CellError) else ':'} {error}")
    if errors := errors or _clashes(jobs):
        more = f" (and {len(errors) - 1} more rows are wrong)" if len(errors) > 1 else ""
        raise UsageError(errors[0] + more)
    return jobs


def _check_columns(rows: list[Row]) -> None:
    for row in rows:
        for column in row.cells:
            if column not in _COLUMNS:
                near = get_close_matches(column, _COLUMNS, cutoff=0.5)
                meant = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(_COLUMNS)}"
                raise UsageError(f"{row.place}: unknown column {column!r}; {meant}")


def _job(row: Row, folder: Path, format: str, digests: dict[str, str | None], same: Counter) -> Job:
    cells = dict(row.cells)
    task = cells.pop("task", "generate")
    if not isinstance(task, str) or task not in TASKS:
        raise _CellError("task", f"unknown task {task!r}; use {', '.join(TASKS)}")
    name = cells.pop("output", None)
    kind = TASKS[task].options
    finishing = [key for key in _OUTPUT if key in cells and key not in options_of(kind)]
    output = _build(OutputOptions, {key: cells.pop(key) for key in finishing})
    for column in cells:
        if column not in options_of(kind):
            raise _CellError(column, f"{task} has no such option; leave the cell blank")
    for column, option in options_of(kind).items():
        if column not in cells and option.default is ...:
            raise _CellError(column, f"{task} needs it; fill in the cell")
    options = _build(kind, cells)
    read, digest = options.source, None
    if options.seed is None:
        options = dataclasses.replace(options, seed=_seed(task, options, same))
    if read is not None:
        path = str((folder / read).absolute())
        if path not in digests:
            digests[path] = sha256(path)
        if (digest := digests[path]) is None:
            problem = f"{read!r} is no file that can be read; paths start at {folder.absolute()}"
            raise _CellError(options.reads, problem)
        options = options.with_source(path)
    output.check(options)
    if output.metadata:
        check_size(options)
    return Job(row.number, row.place, options, output, _name(name, row.number, task, options, format), read, digest)


def _build(kind: type, cells: dict[str, object]):
    """Options from cells; an error names the column, which the message of the options begins with."""
    values = {}
    for column, value in cells.items():
        try:
            values[column] = options_of(kind)[column].kind.read(value)
        except UsageError as error:
            raise _CellError(column, str(error).removeprefix(f"{column} ")) from None
    try:
        return kind(**values)
    except UsageError as error:
        column, _, rest = str(error).partition(" is ")
        raise _CellError(column, f"is {rest}") if rest and column in values else error from None


def _seed(task: str, options: SamplingOptions, same: Counter) -> int:
    """From what was asked for: the same in each run, another for a second row that asks for the same."""
    content = _digest({"task": task, "options": options.to_dict()})
    same[content] += 1
    digest = hashlib.sha256(f"{content} {same[content]}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**32 - options.num)


def _name(given: object, number: int, task: str, options: SamplingOptions, format: str) -> str:
    """Name of the file in the directory: the one given, or one of row and prompt; both get an extension."""
    if given is None:
        about = options.prompt or f"{task} {Path(options.source).stem}"
        return f"{number:04d}-{slug(about) or task}.{format}"
    if not isinstance(given, str):
        raise _CellError("output", f"is {given!r}; give it as text")
    parts = given.strip().replace("\\", "/").split("/")
    for part in parts:
        if not part or part.startswith(".") or ":" in part or not part.isprintable() or len(part.encode()) > NAME_BYTES:
            raise _CellError(
                "output",
                f"is {given!r}; name a file in the directory of -o, not hidden, of at most {NAME_BYTES} bytes",
            )
    name = "/".join(parts)
    return name if Path(name).suffix else f"{name}.{format}"


def _clashes(jobs: list[Job]) -> list[str]:
    """Rows whose files another row writes too. Names count as one that differ in case alone, as on many disks."""
    taken, errors = {}, []
    for job in jobs:
        for name in job.names:
            first = taken.setdefault(name.casefold(), job.row)
            if first != job.row:
                errors.append(f"{job.place}, column output: row {first} writes {name} too; name another file")
                break
    return errors


def _digest(document: dict) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def check_format(format: str) -> str:
    """A key of FORMATS. Raises UsageError for another."""
    if format.lower() not in FORMATS:
        raise UsageError(f"unknown format {format!r}; use {', '.join(FORMATS)}")
    return format.lower()
