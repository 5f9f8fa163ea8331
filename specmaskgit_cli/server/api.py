"""The HTTP API: what each of its routes does. `openapi` describes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .. import __version__
from ..errors import UsageError
from ..spectrogram.mel import band_edges
from .bodies import Bodies
from .faults import LATER, Fault, Refused
from .jobs import Job
from .openapi import document
from .service import Service
from .sounds import Entry

# Media types that a client may ask for, beside those of the answers.
_ACCEPTED = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/flac": "flac", "audio/x-flac": "flac",
    "audio/ogg; codecs=opus": "opus", "audio/opus": "opus", "audio/ogg": "ogg", "audio/mpeg": "mp3", "audio/mp3": "mp3",
    "application/json": "json",
}  # fmt: skip


class Api:
    """The routes over a service."""

    def __init__(self, service: Service):
        self._service, self._bodies = service, Bodies(service)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/v1/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/openapi.json", self.description),
            Route("/v1/jobs", self.add_job, methods=["POST"]),
            Route("/v1/jobs/{id}", self.job),
            Route("/v1/jobs/{id}", self.stop_job, methods=["DELETE"]),
            Route("/v1/jobs/{id}/events", self.events),
            Route("/v1/sounds", self.upload, methods=["POST"]),
            Route("/v1/sounds/{id}", self.sound),
            Route("/v1/sounds/{id}/about", self.about),
            Route("/v1/sounds/{id}/image", self.image),
            Route("/v1/{task}", self.make, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__, "waiting": self._service.queue.waiting})

    async def models(self, request: Request) -> Response:
        """The one that is loaded, with the edges of its bands in Hz."""
        pipe = self._service.pipe
        mel = pipe.config.mel
        about = {
            "name": pipe.config.name,
            "hash": pipe.checkpoint.hash,
            "backend": pipe.runtime.backend,
            "rate": mel.sample_rate,
            "highest": mel.f_max,
            "band_edges": band_edges(mel).round(1).tolist(),
        }
        return JSONResponse({"models": [about]})

    async def description(self, request: Request) -> Response:
        return JSONResponse(document())

    async def make(self, request: Request) -> Response:
        """Do a task and answer with its sound, or with JSON where that is asked for or several sounds are made."""
        task = request.path_params["task"]
        values = await self._bodies.values(request, task)
        accepted = _accepted(request.headers.get("accept", ""))
        if "format" not in values and accepted in _FORMATS:
            values["format"] = accepted
        wanted = await self._service.wanted(task, values)
        job = self._service.submit(wanted, _client(request))
        await self._end(job, request)
        if job.fault:
            return error_answer(job.fault)
        if accepted == "json" or len(job.result) > 1:
            return JSONResponse(self._service.tell(job))
        if not job.result:  # an edit that found nothing to do
            return Response(status_code=204)
        (entry,) = job.result
        headers = {"Content-Location": entry.about["url"], "X-Smg-Seed": str(entry.about["options"]["seed"])}
        return Response(_read(entry), media_type=entry.media_type, headers=headers)

    async def add_job(self, request: Request) -> Response:
        """Queue a task: {"task": name, "options": {...}}."""
        given = await self._bodies.values(request)
        task, options = given.pop("task", None), given.pop("options", None)
        if given or not isinstance(task, str) or not isinstance(options, dict):
            raise UsageError("a job has a task and its options; nothing else")
        job = self._service.submit(await self._service.wanted(task, options), _client(request))
        return JSONResponse(self._service.tell(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    async def job(self, request: Request) -> Response:
        return JSONResponse(self._service.tell(self._job(request)))

    async def stop_job(self, request: Request) -> Response:
        self._service.queue.stop(self._job(request))
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """The job after each change, as server-sent events: "progress", and at last "end"."""
        job = self._job(request)

        async def told() -> AsyncIterator[str]:
            async for each in self._service.queue.follow(job):
                about = self._service.tell(each)
                yield f"event: {'end' if each.ended else 'progress'}\ndata: {json.dumps(about)}\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    async def upload(self, request: Request) -> Response:
        """Take the body of the request in as a sound; its name and type are of no interest."""
        entry = self._service.find(await self._bodies.upload(request))
        return JSONResponse(entry.about, 201, {"Location": entry.about["url"]})

    async def sound(self, request: Request) -> Response:
        entry = self._service.find(request.path_params["id"])
        if not entry.path.is_file():
            raise _gone()
        return FileResponse(entry.path, media_type=entry.media_type)

    async def about(self, request: Request) -> Response:
        return JSONResponse(self._service.find(request.path_params["id"]).about)

    async def image(self, request: Request) -> Response:
        entry = self._service.find(request.path_params["id"])
        if not entry.path.is_file():
            raise _gone()
        return FileResponse(await run_in_threadpool(self._service.sounds.image, entry))

    async def _end(self, job: Job, request: Request) -> None:
        """Wait for the end of a job; it is stopped where its client goes away."""

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self._service.queue.stop(job)

        leaving = asyncio.create_task(gone())
        try:
            async for _ in self._service.queue.follow(job):
                pass
        finally:
            leaving.cancel()

    def _job(self, request: Request) -> Job:
        if (job := self._service.queue.get(request.path_params["id"])) is None:
            raise Refused("not_found", "no such job; it ended long ago")
        return job


def error_answer(fault: Fault) -> Response:
    """A refusal as JSON."""
    headers = {"Retry-After": "1"} if fault.type in LATER else None
    return JSONResponse({"error": fault.to_dict()}, fault.status, headers)


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _read(entry: Entry) -> bytes:
    try:
        return entry.path.read_bytes()
    except FileNotFoundError:
        raise _gone() from None


def _gone() -> Refused:
    return Refused("not_found", "the sound is gone from the folder of the server; make or upload it again")


_FORMATS = set(_ACCEPTED.values()) - {"json"}


def _accepted(header: str) -> str | None:
    """What an Accept header likes best among what there is: a format, "json", or None where it names none of them."""
    best, found = 0.0, None
    for each in header.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    raise UsageError(f"the header Accept has the quality {value!r}; use a number") from None
            elif name == "codecs":
                kind = f"{kind}; codecs={value.strip(chr(34))}"
        if kind in _ACCEPTED and quality > best:
            best, found = quality, _ACCEPTED[kind]
    return found
