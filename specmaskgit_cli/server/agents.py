"""The tasks as tools for agents, by the Model Context Protocol: sounds are files in one folder, and told of so that who
cannot hear them can judge them."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from starlette.concurrency import run_in_threadpool

from .. import __version__
from ..audio.measure import measure, spread
from ..errors import SmgError, UsageError, at_fault
from ..options import options_of
from ..options.fields import Options, option
from ..options.kinds import SoundFile, Text
from ..sounds.record import read_record
from ..spectrogram.image import MIN_PIXELS, palette, png, view
from ..tasks import TASKS
from .faults import Fault, fault_of
from .folder import Folder
from .service import RequestOptions, Service, task_schema
from .sounds import MEDIA_TYPES, Entry, check_input

MAX_AUDIO_BYTES = 256 << 10  # of the sounds of an answer that are sent along
MAX_PICTURES = 4
WAVE_PIXELS = 60
_PATH = {"type": "string", "description": "path of a sound in the folder, as list_sounds tells it"}
_INSTRUCTIONS = """Makes and edits sound effects on this computer. A prompt describes one sound in a few words, such as
"heavy wooden door creaking": no speech, no music. Files lie in one folder and are never replaced; paths are relative to
it. Results come with a spectrogram (time to the right, low frequencies at the bottom, loud is bright, the waveform
above) and with levels: peak and true peak in dB, loudness in LUFS, the energy of frequency bands relative to all of it,
and the course of the level over the sound. If a result is wrong, try another seed, several with num, or candidates."""


@dataclass(frozen=True, kw_only=True)
class FileOptions(Options):
    """How a result is named. Raises UsageError for what is no name."""

    name: str | None = option(None, Text(), "Name of the file, without extension; made of the prompt if not given.")


def agent_server(service: Service, folder: Folder) -> Server:
    """An MCP server over a service, whose open folder it is."""
    tools = Tools(service, folder)
    return Server(
        "smg", version=__version__, title="smg: text to sound", instructions=_INSTRUCTIONS,
        on_list_tools=tools.list_tools, on_call_tool=tools.call_tool,
        on_list_resources=tools.list_resources, on_read_resource=tools.read_resource,
    )  # fmt: skip


async def over_stdio(server: Server) -> None:
    """Serve one client on standard input and output until it hangs up; what else is printed goes to standard error."""
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


class Tools:
    """One tool a task, and two that look at what there is."""

    def __init__(self, service: Service, folder: Folder):
        self._service, self._folder = service, folder

    async def list_tools(self, context: ServerRequestContext, params: Any) -> types.ListToolsResult:
        made = [
            types.Tool(
                name=name, description=_about(task.options), input_schema=_schema(name),
                annotations=types.ToolAnnotations(destructive_hint=False, open_world_hint=False),
            )
            for name, task in TASKS.items()
        ]  # fmt: skip
        looks = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
        path = {"type": "object", "properties": {"path": _PATH}, "required": ["path"], "additionalProperties": False}
        nothing = {"type": "object", "properties": {}, "additionalProperties": False}
        return types.ListToolsResult(
            tools=[
                *made,
                types.Tool(
                    name="list_sounds", description="The sounds in the folder, the newest first.",
                    input_schema=nothing, annotations=looks,
                ),
                types.Tool(
                    name="describe_sound", description="A sound's levels, how it was made, and its spectrogram.",
                    input_schema=path, annotations=looks,
                ),
            ]
        )  # fmt: skip

    async def call_tool(
        self, context: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Do what a tool does; what is wrong with a call is told to the agent, in one line."""
        given = params.arguments or {}
        try:
            if params.name in TASKS:
                return await self._make(context, params.name, given)
            if params.name == "list_sounds":
                _only(given)
                return await run_in_threadpool(self._list)
            if params.name == "describe_sound":
                _only(given, "path")
                return await run_in_threadpool(self._describe, given.get("path"))
            raise UsageError(f"no tool {params.name!r}; there are {', '.join(TASKS)}, list_sounds, describe_sound")
        except (SmgError, OSError) as error:
            return _refusal(fault_of(error))

    async def list_resources(self, context: ServerRequestContext, params: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult(
            resources=[types.Resource(**_resource(path)) for path in await run_in_threadpool(self._folder.sounds)]
        )

    async def read_resource(
        self, context: ServerRequestContext, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        for path in await run_in_threadpool(self._folder.sounds):
            if path.as_uri() == params.uri:
                blob = _base64(await run_in_threadpool(path.read_bytes))
                content = types.BlobResourceContents(uri=params.uri, mime_type=_media_type(path), blob=blob)
                return types.ReadResourceResult(contents=[content])
        raise ValueError(f"no sound {params.uri} in the folder")

    async def _make(self, context: ServerRequestContext, task: str, given: dict[str, Any]) -> types.CallToolResult:
        named = FileOptions(**{name: given[name] for name in options_of(FileOptions) if name in given})
        values = {name: value for name, value in given.items() if name not in options_of(FileOptions)}
        for name, described in options_of(TASKS[task].options).items():
            if isinstance(described.kind, SoundFile) and not isinstance(values.get(name), str | None):
                with at_fault(name):
                    raise UsageError(f"{name} is {values[name]!r}; give the path of a sound in the folder")
        job = self._service.submit(await self._service.wanted(task, values), "agent")
        try:
            async for each in self._service.queue.follow(job):
                message = f"{each.state}, {ahead} ahead" if (ahead := self._service.queue.ahead(each)) else each.state
                await context.session.report_progress(each.progress, 1.0, message)
        finally:
            self._service.queue.stop(job)  # which does nothing unless the call was cancelled
        if job.fault:
            return _refusal(job.fault)
        if not job.result:
            return _answer({"sounds": [], "note": "nothing to do: the sound already has what the model could add"})
        return await run_in_threadpool(self._keep, job.result, named.name)

    def _keep(self, entries: list[Entry], name: str | None) -> types.CallToolResult:
        """Move what was made into the folder, and tell of it."""
        told: list[dict[str, Any]] = []
        content: list[types.ContentBlock] = []
        room = MAX_AUDIO_BYTES
        for number, entry in enumerate(entries):
            data = self._service.sounds.take(entry)
            path = self._folder.store(data, name or _name(entry), entry.about["format"])
            made = {key: entry.about[key] for key in ("options", "loops", "warnings", "seconds_taken")}
            about, picture = self._look(path)
            told.append(about | made | {"warnings": [*about["warnings"], *made["warnings"]]})
            content.append(types.ResourceLink(**_resource(path)))
            if len(data) <= room:
                room -= len(data)
                content.append(types.AudioContent(data=_base64(data), mime_type=_media_type(path)))
            if number < MAX_PICTURES:
                content.append(picture)
        return _answer({"sounds": told}, content)

    def _list(self) -> types.CallToolResult:
        paths = self._folder.sounds()
        told = [{"path": path.name, "bytes": path.stat().st_size} for path in paths]
        return _answer({"folder": str(self._folder.path), "sounds": told})

    def _describe(self, name: Any) -> types.CallToolResult:
        if not isinstance(name, str):
            raise UsageError("describe_sound needs a path, as list_sounds tells it")
        path = self._folder.inside(name)
        about, picture = self._look(path)
        try:
            record = read_record(path)
            about["metadata"] = record and record.to_dict()
        except SmgError as error:
            about["metadata"] = str(error)
        return _answer(about, [types.ResourceLink(**_resource(path)), picture])

    def _look(self, path: Path) -> tuple[dict[str, Any], types.ImageContent]:
        """What can be told of a sound in numbers, and its picture."""
        name = str(path.relative_to(self._folder.path))
        audio = check_input(path, name)
        pixels = view(audio.samples, audio.rate, None, MIN_PIXELS, WAVE_PIXELS)
        picture = types.ImageContent(data=_base64(png(pixels, palette())), mime_type="image/png")
        return {"path": name, "uri": path.as_uri()} | measure(audio) | spread(audio.samples, audio.rate), picture


def _schema(task: str) -> dict[str, Any]:
    """What a tool takes: the schema of its task, without what agents have no use for."""
    found = task_schema(task, dict(_PATH), RequestOptions, FileOptions)
    for about in found["properties"].values():
        del about["x-group"]
    return found


def _about(kind: type) -> str:
    """What a task does, without the example of the command line."""
    return " ".join(re.sub(r"Example:.*", "", kind.__doc__ or "", flags=re.DOTALL).split())


def _only(given: dict[str, Any], *names: str) -> None:
    if wrong := sorted(given.keys() - set(names)):
        raise UsageError(f"no argument {wrong[0]!r}")


def _name(entry: Entry) -> str:
    """From the prompt or the sound that was edited, and from the seed."""
    options, task = entry.about["options"], TASKS[entry.about["task"]]
    source = Path(str(options.get("input") or "")).stem
    words = options.get("prompt") or (f"{source} {task.done}" if source else task.done)
    return f"{words[:30]} {options['seed']}"


def _answer(told: dict[str, Any], content: list[types.ContentBlock] | None = None) -> types.CallToolResult:
    text = types.TextContent(text=json.dumps(told))
    return types.CallToolResult(content=[text, *(content or [])], structured_content=told)


def _refusal(fault: Fault) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=fault.message)], is_error=True)


def _resource(path: Path) -> dict[str, Any]:
    return {"uri": path.as_uri(), "name": path.name, "mime_type": _media_type(path), "size": path.stat().st_size}


def _media_type(path: Path) -> str:
    return MEDIA_TYPES.get(path.suffix[1:].lower(), "audio/*").partition(";")[0]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
