"""The HTTP server behind the page: requests checked, then handed to the pipeline, whose options and errors are ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import SmgError, UsageError
from ..options import SamplingOptions, options_of
from ..pipeline import Pipeline, Progress
from ..sounds.record import check_size, task_options
from ..spectrogram.mel import band_edges
from ..tasks import TASKS, check_made
from .guard import Guard, error_answer
from .jobs import Job, Queue, QueueFull
from .sounds import MAX_SAMPLES, MAX_SECONDS, MAX_UPLOAD_BYTES, Entry, Sounds

STATIC = Path(__file__).parent / "static"
MAX_REQUEST_BYTES = 64 << 10
PAUSE_SECONDS, BODY_SECONDS = 15, 300  # between blocks of a request, and for all of it
MAX_ARRIVING = 4  # uploads at once
# Below those of the options, because others may be waiting.
LIMITS = {"seconds": 120, "num": 10, "steps": 64, "candidates": 8}
MAX_BOXES = 16
MAX_WORK = 20_000  # seconds of sound times steps: about two minutes on four cores
_NOT_HERE = ("input", "like", "like_weight")  # a client names no file


def make_app(pipe: Pipeline, names: tuple[str, ...] = ()) -> Starlette:
    """The page as an ASGI application.

    Args:
        names: host names it may be reached by, beside localhost and addresses.
    """
    page = _Page(pipe)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        await run_in_threadpool(page.close)

    routes = [
        Route("/", lambda request: FileResponse(STATIC / "index.html")),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/api/about", page.about),
        Route("/api/jobs", page.add_job, methods=["POST"]),
        Route("/api/jobs/{id}", page.job),
        Route("/api/jobs/{id}", page.stop_job, methods=["DELETE"]),
        Route("/api/sounds", page.upload, methods=["POST"]),
        Route("/api/sounds/{id}", page.sound),
        Route("/api/sounds/{id}/audio", page.audio),
        Route("/api/sounds/{id}/image", page.image),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, names={"localhost", *(name.lower() for name in names)})],
        exception_handlers=dict.fromkeys((SmgError, HTTPException, OSError, ClientDisconnect), _refused),
        lifespan=lifespan,
    )


class _Page:
    """What the routes do."""

    def __init__(self, pipe: Pipeline):
        self._pipe, self._queue, self._sounds = pipe, Queue(), Sounds(pipe.config.mel)
        self._decoding = asyncio.Lock()  # uploads are decoded one at a time: each may take much memory
        self._arriving = 0

    def close(self) -> None:
        self._queue.close()
        self._sounds.close()

    async def about(self, request: Request) -> Response:
        """What the form is made from: the options of the tasks, and the edges of the model's bands in Hz."""
        return JSONResponse(
            {
                "version": __version__,
                "model": self._pipe.config.name,
                "tasks": {name: _described(task.options) for name, task in TASKS.items()},
                "band_edges": band_edges(self._pipe.config.mel).round(1).tolist(),
            }
        )

    async def add_job(self, request: Request) -> Response:
        """Queue a task: {"task": name, "options": {...}, "source": id of the sound to edit or null}."""
        given = await _json(request)
        task, options, source = (given.pop(name, None) for name in ("task", "options", "source"))
        if given or not isinstance(options, dict) or options.keys() & {each.options.reads for each in TASKS.values()}:
            raise UsageError("a request has a task, its options, and a source for edits; nothing else")
        if source is not None:
            entry = self._entry(source)
            if entry.about["seconds"] > MAX_SECONDS:
                raise UsageError(f"the sound lasts {entry.about['seconds']:.0f} s; edit one of up to {MAX_SECONDS} s")
            options = options | {"input": str(entry.path)}
        elif isinstance(task, str) and task in TASKS and TASKS[task].edits:
            raise UsageError(f"nothing to {task}: generate or upload a sound first")
        options = task_options(task, options)
        _check_limits(options)
        edited = {name: entry.about[name] for name in ("seconds", "rate", "channels")} if source else {}
        check_made(options, self._pipe.config.mel.sample_rate, **edited, most=MAX_SAMPLES)
        _check_work(options, edited.get("seconds", 0.0))
        client = request.client.host if request.client else ""
        job = self._queue.add(lambda progress: self._make(options, task, source, progress), client)
        return JSONResponse(self._told(job), 202)

    async def job(self, request: Request) -> Response:
        return JSONResponse(self._told(self._job(request)))

    async def stop_job(self, request: Request) -> Response:
        self._job(request).stopped = True
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Take the body of the request in as a sound; its name and type are of no interest."""
        if self._arriving >= MAX_ARRIVING:
            raise HTTPException(503, f"{MAX_ARRIVING} sounds are arriving already; try again in a while")
        path = self._sounds.new_path()
        self._arriving += 1
        try:
            with path.open("wb") as file:
                async for block in _limited(request, MAX_UPLOAD_BYTES):
                    file.write(block)
            async with self._decoding:
                about = await run_in_threadpool(self._sounds.keep_upload, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self._arriving -= 1
        return JSONResponse(about, 201)

    async def sound(self, request: Request) -> Response:
        return JSONResponse(self._entry(request.path_params["id"]).about)

    async def audio(self, request: Request) -> Response:
        entry = self._entry(request.path_params["id"])
        return FileResponse(_there(entry.path), media_type=entry.media_type)

    async def image(self, request: Request) -> Response:
        return FileResponse(_there(self._entry(request.path_params["id"]).image))

    def _make(self, options: SamplingOptions, task: str, source: str | None, progress: Progress) -> list[dict]:
        try:
            return [self._sounds.keep_made(sound, task, source) for sound in self._pipe.make(options, progress)]
        except SmgError as error:
            raise SmgError(self._sounds.without_paths(str(error))) from None

    def _told(self, job: Job) -> dict:
        return {
            "id": job.id,
            "state": job.state,
            "ahead": self._queue.ahead(job),
            "progress": round(job.progress, 3),
            "error": job.error,
            "sounds": job.result,
        }

    def _job(self, request: Request) -> Job:
        if (job := self._queue.get(request.path_params["id"])) is None:
            raise HTTPException(404, "no such job; it ended long ago")
        return job

    def _entry(self, id) -> Entry:
        if not isinstance(id, str) or (entry := self._sounds.get(id)) is None:
            raise HTTPException(404, "no such sound; it is gone with its session, or made room for newer ones")
        return entry


def _there(path: Path) -> Path:
    """A file of the page's folder, which may have been cleaned away; 404 if it was."""
    if not path.is_file():
        raise HTTPException(404, "the sound is gone from the folder of this page; make or upload it again")
    return path


def _described(kind: type[SamplingOptions]) -> dict[str, dict]:
    """The options of a task for the form, by name, with the limits of this page."""
    found = {}
    for name, option in options_of(kind).items():
        if name in _NOT_HERE:
            continue
        limits = {key: value for key, value in vars(option.kind).items() if key in ("low", "high", "above", "words")}
        if name in LIMITS:
            limits["high"] = LIMITS[name]
        about = {"kind": type(option.kind).__name__, "group": option.group, "help": option.help}
        found[name] = about | {"default": None if option.default is ... else option.default} | limits
    return found


def _check_limits(options: SamplingOptions) -> None:
    for name, limit in LIMITS.items():
        if (value := getattr(options, name, 0)) > limit:
            raise UsageError(f"{name} is {value:g}; this page takes up to {limit}")
    if len(getattr(options, "boxes", ())) > MAX_BOXES:
        raise UsageError(f"{len(options.boxes)} boxes; this page takes up to {MAX_BOXES}")
    check_size(options)


def _check_work(options: SamplingOptions, length: float) -> None:
    """Raise UsageError where a task would keep the model from others for too long; `length`: of the sound to edit."""
    new = getattr(options, "seconds", getattr(options, "join", length))
    if boxes := getattr(options, "boxes", ()):
        new = min(length, sum((length if box.end is None else box.end) - box.start for box in boxes))
    times = options.num * getattr(options, "candidates", 1)
    if new * options.steps * times > MAX_WORK:
        what = f"{new:g} s of sound in {options.steps} steps" + (f", {times} times over," if times > 1 else "")
        raise UsageError(f"{what} is more than this page makes at once; use less of one of them")


async def _json(request: Request) -> dict:
    body = b"".join([block async for block in _limited(request, MAX_REQUEST_BYTES)])
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise UsageError("the request is not a JSON object")
    return given


async def _limited(request: Request, limit: int):
    """The blocks of a request's body; 413 as soon as they are too many, 408 where they do not come."""
    size, blocks, began = 0, aiter(request.stream()), asyncio.get_running_loop().time()
    while True:
        left = BODY_SECONDS - (asyncio.get_running_loop().time() - began)
        try:
            block = await asyncio.wait_for(anext(blocks), min(PAUSE_SECONDS, left))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, "the request did not come to its end; send it again") from None
        size += len(block)
        if size > limit:
            raise HTTPException(413, f"that is more than {limit / (1 << 20):.3g} MiB; use a smaller file")
        yield block


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return error_answer(error.detail, error.status_code)
    if isinstance(error, ClientDisconnect):  # nobody is there to read it
        return Response(status_code=400)
    if isinstance(error, OSError):
        return error_answer(f"the folder of this page cannot be used: {error.strerror or 'a fault of the system'}", 507)
    return error_answer(str(error), 503 if isinstance(error, QueueFull) else 400)
