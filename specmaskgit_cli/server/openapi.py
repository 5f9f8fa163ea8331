"""The description of the HTTP API, OpenAPI 3.1, made from the tasks and their options."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..tasks import TASKS
from .faults import STATUS
from .service import schema
from .sounds import MEDIA_TYPES

_JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "task": {"enum": list(TASKS)},
        "state": {"enum": ["waiting", "running", "done", "failed", "stopped"]},
        "ahead": {"type": "integer", "description": "jobs that come before it"},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "error": {"anyOf": [{"$ref": "#/components/schemas/Fault"}, {"type": "null"}]},
        "sounds": {"type": "array", "items": {"$ref": "#/components/schemas/Sound"}},
    },
}
_SOUND = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "url": {"type": "string", "description": "of the sound itself; below it are about and image"},
        "format": {"enum": list(MEDIA_TYPES)},
        "seconds": {"type": "number"},
        "rate": {"type": "integer", "description": "in Hz"},
        "channels": {"type": "integer"},
        "task": {"enum": [*TASKS, "upload"]},
        "options": {"type": "object", "description": "what makes it again, the seed among them"},
        "loops": {"type": "boolean", "description": "whether its end runs into its beginning"},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "seconds_taken": {"type": "number", "description": "to make it"},
    },
}
_FAULT = {
    "type": "object",
    "properties": {
        "type": {"enum": list(STATUS)},
        "message": {"type": "string"},
        "field": {"type": ["string", "null"], "description": "the option at fault"},
    },
}
_MODEL = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "hash": {"type": "string", "description": "of its files; the same hash, the same sounds"},
        "backend": {"type": "string"},
        "rate": {"type": "integer", "description": "in Hz"},
        "highest": {"type": "number", "description": "frequency it makes, in Hz"},
        "band_edges": {"type": "array", "items": {"type": "number"}, "description": "in Hz"},
    },
}


def document() -> dict[str, Any]:
    """The whole description."""
    schemas = {task: schema(task) for task in TASKS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "smg", "version": __version__, "summary": "Text to sound on an ordinary CPU"},
        "paths": {f"/v1/{task}": {"post": _task(task)} for task in TASKS} | _others(),
        "components": {
            "schemas": schemas | {"Job": _JOB, "Sound": _SOUND, "Fault": _FAULT, "Model": _MODEL},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _task(name: str) -> dict[str, Any]:
    task = TASKS[name]
    sounds: dict[str, Any] = {media.partition(";")[0]: {} for media in MEDIA_TYPES.values()}
    answer = _answer("the sound, or a job with several of them", sounds | _json("Job"))
    answer["headers"] = {
        "Content-Location": {"description": "where the sound can be had again", "schema": {"type": "string"}},
        "X-Smg-Seed": {"description": "what makes it again", "schema": {"type": "integer"}},
    }
    return {
        "operationId": name,
        "tags": ["tasks"],
        "summary": (task.options.__doc__ or "").partition("\n")[0],
        "description": f"Where the body is a sound file, it is `{task.options.reads}`; the query has the others.",
        "requestBody": {"required": True, "content": _json(name) | {"audio/*": {}}},
        "responses": {"200": answer, "204": {"description": "there was nothing to do"}} | _faults(),
    }


def _others() -> dict[str, Any]:
    """The routes that are no tasks."""
    add = {"required": True, "content": {"application/json": {"schema": {"oneOf": [_job(task) for task in TASKS]}}}}
    id = ("id",)
    return {
        "/v1/jobs": {"post": _operation("add_job", "Do a task later", "202", _json("Job"), body=add)},
        "/v1/jobs/{id}": {
            "get": _operation("job", "How far a job is", "200", _json("Job"), id),
            "delete": _operation("stop_job", "Stop a job", "204", {}, id),
        },
        "/v1/jobs/{id}/events": {
            "get": _operation(
                "events", "The job after each change: events progress and end, whose data are the job", "200",
                {"text/event-stream": {}}, id,
            )
        },
        "/v1/sounds": {
            "post": _operation(
                "upload", "Upload a sound", "201", _json("Sound"), body={"required": True, "content": {"audio/*": {}}}
            )
        },
        "/v1/sounds/{id}": {"get": _operation("sound", "A sound", "200", {"audio/*": {}}, id)},
        "/v1/sounds/{id}/about": {"get": _operation("about", "What is known of a sound", "200", _json("Sound"), id)},
        "/v1/sounds/{id}/image": {"get": _operation("image", "Its spectrogram", "200", {"image/png": {}}, id)},
        "/v1/models": {"get": _operation("models", "The model that is loaded", "200", _models())},
        "/v1/health": {"get": _operation("health", "Whether the server is up", "200", {"application/json": {}})},
    }  # fmt: skip


def _job(task: str) -> dict[str, Any]:
    properties = {"task": {"const": task}, "options": {"$ref": f"#/components/schemas/{task}"}}
    return {"type": "object", "properties": properties, "required": ["task", "options"], "additionalProperties": False}


def _models() -> dict[str, Any]:
    models = {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}
    return {"application/json": {"schema": {"type": "object", "properties": {"models": models}}}}


def _operation(
    id: str, summary: str, status: str, content: dict[str, Any], path: tuple[str, ...] = (), body: dict | None = None
) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in path]
    asked = {"requestBody": body} if body else {}
    answers = {status: _answer(summary, content)} | _faults()
    return {"operationId": id, "summary": summary, "parameters": parameters, "responses": answers} | asked


def _answer(text: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": text} | ({"content": content} if content else {})


def _faults() -> dict[str, Any]:
    error = {"type": "object", "properties": {"error": {"$ref": "#/components/schemas/Fault"}}}
    return {"default": _answer("why it was refused", {"application/json": {"schema": error}})}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
