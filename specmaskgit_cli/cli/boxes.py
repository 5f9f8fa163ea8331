"""The option of boxes on the command line: --start, --end, --low and --high for one, and --box for several."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..options import Box, options_of
from ..options.fields import Option
from .parameters import hint

_SIDES = {name: replace(side, default=None) for name, side in options_of(Box).items()}


def box_hints(option: Option) -> dict[str, Any]:
    """The type hints of the parameters that `boxes` takes; all may be left out."""
    several = typer.Option(metavar=option.metavar, help=option.help, rich_help_panel=option.group)
    return {name: hint(name, side) for name, side in _SIDES.items()} | {"box": Annotated[list[str] | None, several]}


def boxes(given: dict[str, Any]) -> tuple[Box, ...]:
    """The boxes of a command line. Raises UsageError for one that is wrong."""
    found = [Box.parse(text, "--box") for text in given["box"] or ()]
    one = {name: side.kind.read(given[name]) for name, side in _SIDES.items() if given[name] is not None}
    if one.keys() & {"start", "end"}:
        found.insert(0, Box(**one))
    elif one:
        raise UsageError("--low and --high need --start and --end; give the span of time too")
    return tuple(found)
