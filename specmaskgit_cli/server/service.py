"""A model at work for clients: what they ask for is checked, queued and kept; page, API and agents all come here."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from ..audio.encoding import FORMATS
from ..audio.files import check_stored
from ..errors import SmgError, UsageError, at_fault
from ..options import OutputOptions, SamplingOptions, options_of, schema_of
from ..options.fields import OUTPUT, Options, option
from ..options.kinds import Choice, Number, SoundFile
from ..pipeline import Pipeline, Progress
from ..sounds.record import task_options
from ..sounds.sound import Sound
from ..tasks import TASKS
from .faults import Refused
from .jobs import DEADLINE_SECONDS, Job, Queue
from .limits import MOST, check_limits
from .sounds import Entry, Sounds, check_input

# What stands for a sound file in a request.
SOUND_SCHEMA = {
    "anyOf": [
        {"type": "string", "description": "path of a file in a folder that the server was started with"},
        {"type": "object", "properties": {"sound": {"type": "string", "description": "id of a sound of this server"}},
         "required": ["sound"], "additionalProperties": False},
        {"type": "object", "properties": {"data": {"type": "string", "description": "a sound file in base64"}},
         "required": ["data"], "additionalProperties": False},
    ]
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RequestOptions(Options):
    """How a request is answered. Raises UsageError for a value out of range, with the option named."""

    format: str = option("wav", Choice(*FORMATS), "Format of the sound.", group=OUTPUT)
    deadline: float | None = option(
        None, Number(0.1, 3600), "Seconds after which it is given up; at most those of the server.", group="Request"
    )


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, checked.

    Attributes:
        sounds: what stood for sound files in the request, by the names of the options that take them.
    """

    task: str
    options: SamplingOptions
    output: OutputOptions
    request: RequestOptions
    sounds: dict[str, Any]


@dataclass(frozen=True)
class _Input:
    """A sound to read: where it lies, what stands for it in requests, and what has to be known before the work."""

    path: Path
    named: Any
    seconds: float
    rate: int
    channels: int


class Service:
    """A model with its queue and the sounds of a session.

    Args:
        folders: whose files may be read by their paths.
        deadline: seconds after which a request is given up, where it does not ask for less.
    """

    def __init__(self, pipe: Pipeline, folders: Sequence[Path] = (), deadline: float = DEADLINE_SECONDS):
        self.pipe, self.folders, self.deadline = pipe, tuple(folder.resolve() for folder in folders), deadline
        self.queue, self.sounds = Queue(), Sounds(pipe.config.mel)
        self._decoding = asyncio.Lock()  # sounds are decoded one at a time: each may take much memory

    def warm_up(self) -> None:
        """Make a sound that nobody hears, so that the first request finds the model in memory."""
        self.pipe.generate("a sound", seconds=1.0, seed=0)

    def close(self) -> None:
        self.queue.close()
        self.sounds.close()

    async def wanted(self, task: str, values: dict[str, Any]) -> Wanted:
        """Check what is asked for: options of the task, of the output and of the request, by their names.

        Raises:
            SmgError: an unknown task or option, a value out of range, or a sound that cannot be used.
        """
        if task not in TASKS:
            raise Refused("not_found", f"no task {task!r}; there are {', '.join(TASKS)}", "task")
        kinds = (TASKS[task].options, OutputOptions, RequestOptions)
        known = set(schema(task)["properties"])
        for name in values.keys() - known:
            near = get_close_matches(name, known)
            with at_fault(name):
                raise UsageError(f"{task} has no option {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        left = dict(values)  # an option of the task goes before one of the output that has its name
        mine, output, request = ({name: left.pop(name) for name in options_of(k) if name in left} for k in kinds)
        found: dict[str, _Input] = {}
        for name, described in options_of(kinds[0]).items():
            if described.default is ... and mine.get(name) is None:
                with at_fault(name):
                    raise UsageError(f"{task} needs {name}: {described.help}")
            if isinstance(described.kind, SoundFile) and mine.get(name) is not None:
                with at_fault(name):
                    found[name] = await self._input(mine[name])
        options = task_options(task, mine | {name: str(each.path) for name, each in found.items()})
        finishing, asked = OutputOptions(**output), RequestOptions(**request)
        finishing.check(options)
        check_stored(asked.format, finishing.bits, finishing.rate)
        edited = found.get(options.reads) if TASKS[task].edits else None
        about = (edited.seconds, edited.rate, edited.channels) if edited else (0.0, 0, 1)
        check_limits(options, self.pipe.config.mel.sample_rate, *about)
        return Wanted(task, options, finishing, asked, {name: each.named for name, each in found.items()})

    def submit(self, wanted: Wanted, client: str = "") -> Job:
        """Queue what is wanted; the result of the job is a list of entries. Raises Refused where too much waits."""
        seconds = min(self.deadline, wanted.request.deadline or self.deadline)
        return self.queue.add(partial(self._make, wanted), wanted.task, client, seconds)

    async def receive(self, path: Path) -> Entry:
        """Take in a file that was written to `sounds.new_path`. Raises SmgError where it is no sound."""
        async with self._decoding:
            return await run_in_threadpool(self.sounds.keep_upload, path)

    def find(self, id: object) -> Entry:
        """The sound of an id. Raises Refused where there is none."""
        if not isinstance(id, str) or (entry := self.sounds.get(id)) is None:
            raise Refused("not_found", "no such sound; it is gone with its session, or made room for newer ones")
        return entry

    def tell(self, job: Job) -> dict:
        """A job as clients are told of it."""
        return {
            "id": job.id,
            "task": job.task,
            "state": job.state,
            "ahead": self.queue.ahead(job),
            "progress": round(job.progress, 3),
            "error": job.fault and job.fault.to_dict(),
            "sounds": [entry.about for entry in job.result],
        }

    async def _input(self, named: Any) -> _Input:
        if isinstance(named, str):
            path = allowed(named, self.folders)
            async with self._decoding:
                audio = await run_in_threadpool(check_input, path, named)
            return _Input(path, named, audio.samples.shape[1] / audio.rate, audio.rate, len(audio.samples))
        if isinstance(named, dict) and named.keys() == {"sound"}:
            entry = self.find(named["sound"])
        elif isinstance(named, dict) and named.keys() == {"data"}:
            path = self.sounds.new_path()
            path.write_bytes(_decoded(named["data"]))
            entry = await self.receive(path)
        else:
            raise UsageError('it is neither a path, nor {"sound": id}, nor {"data": base64}')
        about = entry.about
        return _Input(entry.path, {"sound": about["id"]}, about["seconds"], about["rate"], about["channels"])

    def _make(self, wanted: Wanted, progress: Progress) -> list[Entry]:
        try:
            return [self._keep(sound, wanted) for sound in self.pipe.make(wanted.options, progress)]
        except SmgError as error:
            error.args = (self.sounds.without_paths(str(error)),)
            raise

    def _keep(self, sound: Sound, wanted: Wanted) -> Entry:
        data, finished = sound.encoded(wanted.request.format, wanted.output)
        asked = wanted.output.to_dict() | sound.options.to_dict() | wanted.sounds | {"format": wanted.request.format}
        known = schema(wanted.task)["properties"]
        about = {"task": wanted.task, "options": {name: value for name, value in asked.items() if name in known}}
        return self.sounds.keep_made(finished, data, wanted.request.format, about)


@cache
def schema(task: str) -> dict[str, Any]:
    """The options of a request for a task, as JSON Schema; not to be changed."""
    return task_schema(task, SOUND_SCHEMA, RequestOptions)


def task_schema(task: str, sound: dict[str, Any], *more: type) -> dict[str, Any]:
    """The options of a task and of its output, and those of more classes, as JSON Schema; `sound` as in `schema_of`."""
    kind = TASKS[task].options
    found = schema_of(kind, OutputOptions, *more, limits=MOST, sound=sound)
    for name in set(kind.without) - options_of(kind).keys():
        del found["properties"][name]
    return found


def allowed(name: str, folders: Sequence[Path]) -> Path:
    """Where a path of a request lies, which is relative to the first of the folders.

    Raises:
        Refused: it does not lie in any of them, links followed, or is no file there.
    """
    if not folders:
        raise Refused("forbidden", "no folder is open for paths; upload the sound, or start with --allow FOLDER")
    try:
        path = (folders[0] / name).resolve()
        inside = any(path.is_relative_to(folder) for folder in folders)
        there = inside and path.is_file()
    except (OSError, ValueError, RuntimeError):
        inside, there = True, False
    if not inside:
        raise Refused("forbidden", f"{name} lies outside of the folders that are open: {', '.join(map(str, folders))}")
    if not there:
        raise Refused("not_found", f"{name}: no such file in {', '.join(map(str, folders))}")
    return path


def _decoded(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise UsageError("its data is not base64") from None
