"""What requests hold: options as JSON or in the query, a sound as the body; none larger or slower than allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import Request

from ..errors import UsageError, at_fault
from ..options import OutputOptions, options_of
from ..tasks import TASKS
from .faults import Refused
from .service import RequestOptions, Service

MAX_UPLOAD_BYTES = 64 << 20
MAX_OPTIONS_BYTES = 64 << 10  # of JSON without a sound in it
MAX_JSON_BYTES = 16 << 20
PAUSE_SECONDS, BODY_SECONDS = 15.0, 300.0  # between blocks of a request, and for all of it
MAX_ARRIVING = 4  # large bodies at once
PLACE_SECONDS = 15.0  # that another one waits to be among them
_JSON = (b"{", b"[")  # no sound file begins so


class Bodies:
    """Reads the bodies of requests, a few large ones at a time."""

    def __init__(self, service: Service):
        self._service, self._places = service, asyncio.Semaphore(MAX_ARRIVING)

    async def values(self, request: Request, task: str | None = None) -> dict[str, Any]:
        """The options in the query and the body, by name; a sound in the body stands for the one that the task reads.

        Args:
            task: None where the JSON in the body names it.

        Raises:
            SmgError: a body that is too large, too slow, or neither JSON nor a sound.
        """
        blocks, start = limited(request), b""
        async for block in blocks:
            start += block
            if start.lstrip():
                break
        found = {} if task is None else _query(request, task)
        if not start.strip():
            return found
        if start.lstrip().startswith(_JSON):
            return found | await self._json(start, blocks)
        if task is None or task not in TASKS:
            raise UsageError("the request is not a JSON object")
        return found | {TASKS[task].options.reads: {"sound": await self._upload(start, blocks)}}

    async def upload(self, request: Request) -> str:
        """The id of the sound that is the body of a request. Raises SmgError where it is none, or too large."""
        return await self._upload(b"", limited(request))

    async def _json(self, data: bytes, blocks: AsyncIterator[bytes]) -> dict[str, Any]:
        parts, size, large = [data], len(data), False
        try:
            async for block in blocks:
                parts.append(block)
                size += len(block)
                if size > MAX_OPTIONS_BYTES and not large:
                    await self._enter()
                    large = True
                _check_size(size, MAX_JSON_BYTES)
        finally:
            if large:
                self._places.release()
        try:
            given = json.loads(b"".join(parts))
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise UsageError("the request is not a JSON object")
        return given

    async def _upload(self, start: bytes, blocks: AsyncIterator[bytes]) -> str:
        path = self._service.sounds.new_path()
        await self._enter()
        try:
            await _write(path, start, blocks)
            return (await self._service.receive(path)).about["id"]
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self._places.release()

    async def _enter(self) -> None:
        try:
            await asyncio.wait_for(self._places.acquire(), PLACE_SECONDS)
        except TimeoutError:
            raise Refused("busy", f"{MAX_ARRIVING} sounds are arriving already; try again in a while") from None


async def _write(path: Path, start: bytes, blocks: AsyncIterator[bytes]) -> None:
    size = len(start)
    with path.open("wb") as file:
        file.write(start)
        async for block in blocks:
            size += len(block)
            _check_size(size, MAX_UPLOAD_BYTES)
            file.write(block)


async def limited(request: Request) -> AsyncIterator[bytes]:
    """The blocks of a request's body. Raises Refused where they do not come."""
    blocks, began = aiter(request.stream()), asyncio.get_running_loop().time()
    while True:
        left = BODY_SECONDS - (asyncio.get_running_loop().time() - began)
        try:
            block = await asyncio.wait_for(anext(blocks), min(PAUSE_SECONDS, left))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused("request_timeout", "the request did not come to its end; send it again") from None
        if block:
            yield block


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Refused("too_large", f"that is more than {limit / (1 << 20):.3g} MiB; use a smaller sound")


def _query(request: Request, task: str) -> dict[str, Any]:
    """The options in the query of a request, read as the cells of a table are."""
    kinds = (TASKS[task].options, OutputOptions, RequestOptions) if task in TASKS else ()
    known = {name: option.kind for kind in kinds for name, option in options_of(kind).items()}
    values: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        with at_fault(name):
            if name in values:
                raise UsageError(f"{name} is given twice")
            value: Any = known[name].read(text) if name in known else text
            values[name] = [box.to_dict() for box in value] if name == "boxes" else value
    return values
