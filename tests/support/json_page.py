"""The reports of `--json`, held against docs/json.md: `parsed(text)` where a test would say `json.loads(text)`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from specmaskgit_cli.tasks import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
TYPES = {
    "text": str, "number": (int, float), "list": list, "object": dict, "null": type(None), "any": object,
}  # fmt: skip


def described() -> dict[str, dict[str, str]]:
    """Type by key for each command of the page, those that all have among them."""
    intro, *sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    common, commands = _rows(intro), {}
    for section in sections:
        heading, rows = section.split("\n")[0], _rows(section)
        names = [*re.findall("`(.+?)`", heading), *(TASKS if heading.startswith("Tasks") else ())]
        commands |= dict.fromkeys(names, common | rows)
    return commands


def _rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(.+?)` \| (.+?) \|", text, re.MULTILINE))


def parsed(text: str) -> dict:
    """The one object in `text`, after a check that it has all that the page says of its command, and nothing else."""
    assert text.isascii()
    document = json.loads(text, parse_constant=lambda name: 1 / 0)
    _check(document, "", described()[document["command"]])
    return document


def _check(value, name: str, known: dict[str, str]) -> None:
    """Check what lies below a key of the page; where that has nothing below it, anything may."""
    if isinstance(value, list) and any(key.startswith(f"{name}[]") for key in known):
        for item in value:
            _check(item, f"{name}[]", known)
    below = {key.rpartition(".")[2]: kind for key, kind in known.items() if key.rpartition(".")[0] == name}
    if isinstance(value, list) or not below:
        return
    assert isinstance(value, dict), f"{name} is {value!r}"
    if missing := set(below) - set(value) - {"*"}:
        raise AssertionError(f"{name} lacks {missing}, which {PAGE.name} has")
    for key, item in value.items():
        kind = below.get(key) or below.get("*")
        assert kind, f"{PAGE.name} does not have {key} in {name or 'the object'}"
        right = isinstance(item, tuple(TYPES[each] for each in kind.split(" or ")))
        assert right and (kind == "any" or type(item) is not bool), f"{key} is {item!r} and no {kind}"
        _check(item, f"{name}.{key}" if name else key, known)
