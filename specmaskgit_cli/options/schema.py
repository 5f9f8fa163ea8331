"""Options as JSON Schema (draft 2020-12): for those who give them as JSON, over HTTP or as an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import options_of
from .kinds import SoundFile


def schema_of(
    *kinds: type, limits: Mapping[str, float] | None = None, sound: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One object with the options of some dataclasses, each with its bounds, its help and its default; of two options
    of one name the first.

    Args:
        limits: the highest value of an option by its name, where it is below that of its kind.
        sound: what stands for a sound file, instead of its path.
    """
    properties, required = {}, []
    for kind in kinds:
        for name, option in options_of(kind).items():
            if name in properties:
                continue
            schema = option.kind.schema
            if sound and isinstance(option.kind, SoundFile):
                schema = dict(sound)
            if limits and name in limits:
                schema["maximum"] = limits[name]
            if option.default is None:  # it may be left open
                schema = _or_null(schema)
            if option.default is ...:
                required.append(name)
            else:
                schema["default"] = option.default
            properties[name] = schema | {"description": option.help, "x-group": option.group}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return schema | {"type": [*types, "null"]} | choices
