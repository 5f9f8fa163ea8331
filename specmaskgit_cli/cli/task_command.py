"""The commands that make sounds, each built from the options of its task and of the output."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer

from ..options import OutputOptions, options_of
from ..options.box import Boxes
from ..options.fields import MODEL, OUTPUT, SAMPLING, TASK, Option
from ..tasks.base import Task
from . import common
from .boxes import box_hints, boxes
from .output_files import OutputFiles
from .parameters import hint
from .prompts import prompts
from .run_tasks import Session, make_sounds

_GROUPS = (None, TASK, SAMPLING, OUTPUT, MODEL)  # as help pages list them; None: arguments
_SESSION = {
    "play": common.Play,
    "as_json": common.AsJson,
    "quiet": common.Quiet,
    "model": common.Model,
    "vocoder": common.Vocoder,
    "backend": common.Backend,
    "device": common.Device,
    "threads": common.Threads,
}


class TaskCommand:
    """A function for Typer that does a task; its signature, from the options of the task, is made when it is asked for.

    It takes a prompt, or for an edit any number of sound files, and does the task for each.
    """

    def __init__(self, task: Task):
        self.__name__, self.__doc__, self._kind = task.name, task.options.__doc__, task.options
        self._task = task
        self._subject = "input" if task.edits else "prompt"

    @cached_property
    def _options(self) -> dict[str, Option]:
        """The options of the task but its subject; its own come before those that all tasks have."""
        known = options_of(self._kind)
        names = sorted(known, key=lambda name: known[name].group != TASK or name not in self._kind.__annotations__)
        return {name: known[name] for name in names if name != self._subject}

    @cached_property
    def _finishing(self) -> dict[str, Option]:
        return {name: option for name, option in options_of(OutputOptions).items() if name not in self._kind.without}

    @cached_property
    def __signature__(self) -> Signature:
        options = self._options | self._finishing
        parameters = [
            _argument(self._subject, options_of(self._kind)[self._subject]),
            _parameter("output", common.EditOutput, None) if self._task.edits else _parameter("output", common.Output),
            *(parameter for name, option in options.items() for parameter in _parameters(name, option)),
            _parameter("image", common.Image, None),
            *(_parameter(name, hint, getattr(Session, name)) for name, hint in _SESSION.items()),
        ]
        return Signature(sorted(parameters, key=_place))

    @property
    def __annotations__(self) -> dict[str, Any]:
        return {parameter.name: parameter.annotation for parameter in self.__signature__.parameters.values()}

    def __call__(self, **given) -> None:
        kind, files = self._kind, (given["output"], given["image"])
        output = OutputOptions(**_values(self._finishing, given))
        session = Session(**{name: given[name] for name in _SESSION})
        subjects = given[self._subject] if self._task.edits else prompts(given[self._subject])
        first = kind(**{self._subject: subjects[0]}, **_values(self._options, given))
        tasks = [replace(first, **{self._subject: each}) for each in subjects]
        if self._task.edits:
            targets = OutputFiles.of_inputs(subjects, first.num, *files, self._task.done)
        else:
            targets = OutputFiles.in_turn(tasks, *files)
        make_sounds(self._task.name, tasks, targets, output, session, label=self._task.doing)


def _values(options: dict[str, Option], given: dict[str, Any]) -> dict[str, Any]:
    """The values of options, by name, from those that Typer gives."""
    values = {}
    for name, option in options.items():
        if isinstance(option.kind, Boxes):
            values[name] = boxes(given)
        elif option.default is True:  # such as of --no-metadata
            values[name] = not given[name]
        else:
            values[name] = option.kind.read(given[name])
    return values


def _parameters(name: str, option: Option) -> list[Parameter]:
    if isinstance(option.kind, Boxes):
        return [_parameter(part, hint, None) for part, hint in box_hints(option).items()]
    return [_parameter(name, hint(name, option), False if option.default is True else option.default)]


def _argument(name: str, option: Option) -> Parameter:
    """Sound files, or a prompt, which may be left out."""
    described = typer.Argument(metavar=option.metavar, help=option.help, show_default=False)
    if option.default is ...:
        return _parameter(name, Annotated[list[str], described])
    return _parameter(name, Annotated[str | None, described], option.default)


def _parameter(name: str, hint: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def _place(parameter: Parameter) -> int:
    (described,) = parameter.annotation.__metadata__
    return _GROUPS.index(described.rich_help_panel)
