"""How a sound was made, as its file tells: a sentence for people and one JSON document, which makes it again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..audio.inputs import is_stream, stored
from ..audio.metadata import MAX_BYTES, read_comment
from ..config.settings import GRIFFIN_LIM
from ..errors import SmgError, UsageError
from ..options import Box, OutputOptions, SamplingOptions
from ..tasks import TASKS, Task, task_of

FORMAT = 1
_START = '{"smg":'  # of the line that holds the document
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made a sound, beside its options.

    Attributes:
        model, model_hash: name and hash of the checkpoint.
        source: what it was opened as: "default", a directory, or "owner/name" on the Hub.
        backend: "onnx" or "torch".
        vocoder: "griffin-lim", or what another model's vocoder was opened as; None is the model's own.
        vocoder_hash: of that model, which has to have one.
        input_sha256: of the file that was edited, or was to be resembled.
        version: of this program.
    """

    model: str
    model_hash: str
    source: str
    backend: str
    vocoder: str | None = None
    vocoder_hash: str | None = None
    input_sha256: str | None = None
    version: str = __version__

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not (isinstance(value, str) or (value is None and self.__dataclass_fields__[name].default is None)):
                raise UsageError(f"{name} is {value!r}; it should be text")
        if self.vocoder not in (None, GRIFFIN_LIM) and self.vocoder_hash is None:
            raise UsageError(f"vocoder is {self.vocoder!r}, without a vocoder_hash")


@dataclass(frozen=True)
class Record:
    """All that a file tells of its making."""

    options: SamplingOptions
    output: OutputOptions
    origin: Origin

    @property
    def task(self) -> Task:
        return task_of(self.options)

    @property
    def input(self) -> str | None:
        """The file that was edited, or was to be resembled."""
        return self.options.source

    def to_dict(self) -> dict:
        """The document: plain JSON types; the path of the input absolute."""
        options, origin = self.options.to_dict(), dataclasses.asdict(self.origin)
        del options["num"]
        path = options.pop(self.options.reads)
        digest, version = origin.pop("input_sha256"), origin.pop("version")
        return {
            "smg": version,
            "format": FORMAT,
            "ai_generated": True,
            "task": self.task.name,
            "options": options,
            "input": None if path is None else {"path": os.path.abspath(path), "sha256": digest},
            "output": self.output.to_dict(),
            "origin": origin,
        }

    def tags(self) -> dict[str, str]:
        """The tags of the file, for `write_audio`."""
        options, origin = self.options, self.origin
        title = _plain(options.prompt or f"{self.task.name}: {Path(self.input or '').name}") or self.task.name
        done = f"AI-generated in part ({self.task.name})" if self.task.edits else "AI-generated sound"
        told = told_of(title, origin, options.seed, done)
        document = json.dumps(self.to_dict())  # ASCII, which survives whatever tools do to the rest
        return told | {"comment": f"{told['comment']}\n{document}"}


def told_of(title: str, origin: Origin, seed: int | None, done: str = "AI-generated sound") -> dict[str, str]:
    """The tags of a file that tell people what made it."""
    title = _plain(title)
    sentence = (
        f"{done}: {title}. Made by smg {origin.version} with model {_plain(origin.model)} ({origin.model_hash}), "
        f"seed {seed}."
    )
    return {"title": title, "software": f"smg {origin.version}", "comment": sentence}


def check_size(options: SamplingOptions) -> None:
    """Raise UsageError for options that take more room than a file's metadata has."""
    size = len(json.dumps(options.to_dict())) + 2 * len((options.prompt or "").encode())
    if size > MAX_BYTES - 12_000:  # what else is stored: paths, names
        raise UsageError(
            f"the options take {size} bytes, more than metadata holds; shorten the text, or give --no-metadata"
        )


def read_record(path: str | os.PathLike) -> Record | None:
    """What a sound file tells of its making; None if nothing, or not by this program.

    Raises:
        SmgError: the file cannot be read, or what it tells is damaged, not allowed, or of a newer version.
    """
    text = read_comment(path)
    line = next((line for line in text.split("\n") if line.startswith(_START)), None)
    if line is None:
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise SmgError(f"{path}: its metadata is damaged (no complete JSON)") from None
    try:
        return _record(document)
    except (SmgError, TypeError) as error:
        raise SmgError(f"{path}: its metadata is damaged or not of this version: {error}") from None


def task_options(task: str, values: dict) -> SamplingOptions:
    """The options of a task from plain JSON types, all of them checked.

    Raises:
        SmgError: an unknown task or setting, one that is missing, or out of range.
    """
    kind = _task(task).options
    values = _object(values, "options")
    if "boxes" in values:
        values = values | {"boxes": tuple(_build(Box, box) for box in _list(values["boxes"], "boxes"))}
    return _build(kind, values)


def sha256(path: str | os.PathLike) -> str | None:
    """Of a file's contents; None for what is neither a regular file nor a stream, or cannot be read."""
    if not (is_stream(path) or os.path.isfile(path)):
        return None
    digest = hashlib.sha256()
    try:
        with open(stored(path), "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _plain(text: str) -> str:
    """On one line, without what a tag cannot hold: control characters, and bytes of file names that are no text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _record(document: dict) -> Record:
    """Check a document as strictly as a command line: it may come from anyone."""
    version = document.get("format")
    if version != FORMAT:
        raise SmgError(f"its format is {version!r}, and this smg knows {FORMAT}; a newer one may know more")
    document = _fields(document, "smg", "format", "ai_generated", "task", "options", "input", "output", "origin")
    task = _task(document["task"])
    read = document["input"]
    read = {"path": None, "sha256": None} if read is None else _fields(read, "path", "sha256")
    options = _object(document["options"], "options")
    given = {"num": 1, task.options.reads: read["path"]}
    if options.get("seed") is None or options.keys() & given.keys():
        raise SmgError("its options lack a seed, or have what is none of theirs")
    origin = _object(document["origin"], "origin") | {"version": document["smg"], "input_sha256": read["sha256"]}
    return Record(
        task_options(task.name, options | given), _build(OutputOptions, document["output"]), _build(Origin, origin)
    )


def _task(name) -> Task:
    if not isinstance(name, str) or name not in TASKS:
        raise SmgError(f"unknown task {name!r}")
    return TASKS[name]


def _build(kind, values):
    values = _object(values, kind.__name__)
    known = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise SmgError(f"unknown setting {unknown[0]!r}")
    required = [name for name, f in known.items() if _required(f)]
    if missing := [name for name in required if name not in values]:
        raise SmgError(f"no {missing[0]!r}")
    return kind(**values)


def _required(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _fields(values, *names: str) -> dict:
    """An object with exactly these keys."""
    values = _object(values, "it")
    if set(values) != set(names):
        wrong = min(set(values) ^ set(names))
        raise SmgError(f"{'unknown setting' if wrong in values else 'no'} {wrong!r}")
    return values


def _object(value, name: str) -> dict:
    if not isinstance(value, dict):
        raise SmgError(f"{name} is {type(value).__name__}, not an object")
    return value


def _list(value, name: str) -> list:
    if not isinstance(value, list):
        raise SmgError(f"{name} is {type(value).__name__}, not a list")
    return value
