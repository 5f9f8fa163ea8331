"""The Typer application: all commands, each from a module that imports what it needs only when it runs."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import Annotated

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import UsageError
from ..tasks import TASKS
from ..terminal import say
from . import (
    batch,
    benchmark,
    convert,
    doctor,
    embed,
    evaluate,
    export,
    info,
    mcp,
    models,
    probe,
    replay,
    search,
    serve,
    show,
    stream,
    train,
)
from .parameters import Commands
from .task_command import TaskCommand


class _Group(TyperGroup):
    """Knows that people type the prompt where the command belongs."""

    def resolve_command(self, ctx, args):
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            meant = [f"smg {command}" for command in get_close_matches(name, self.commands)]
            if "smg generate" not in meant:
                meant.append(f"smg generate {shlex.quote(' '.join(args))}")
            raise UsageError(f"no command {name!r}; did you mean: {', or '.join(meant)}")
        return super().resolve_command(ctx, args)


app = Commands(cls=_Group)


def _version(shown: bool) -> None:
    if shown:
        say(f"smg {__version__}")
        raise typer.Exit()


@app.callback()
def smg(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Text to sound on an ordinary CPU.

    Example: smg generate "dog barking" -o out.wav
    """


for task in TASKS.values():
    app.command(task.name)(TaskCommand(task))
app.command()(stream.stream)
app.command()(batch.batch)
app.command()(embed.embed)
app.command()(search.search)
app.command()(probe.probe)
app.command()(info.info)
app.command()(show.show)
app.command()(replay.replay)
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.command()(convert.convert)
app.add_typer(evaluate.app, name="evaluate")
app.command()(export.export)
app.command()(benchmark.benchmark)
app.command()(serve.serve)
app.command()(serve.ui)
app.command()(mcp.mcp)
app.command()(doctor.doctor)


def application(args: list[str]) -> typer.Typer:
    """All commands; where the first word names one, that alone, for it takes Typer 0.1 s to prepare them all."""
    commands = [each for each in app.registered_commands if (each.name or each.callback.__name__) in args[:1]]
    groups = [group for group in app.registered_groups if group.name in args[:1]]
    if not commands and not groups:
        return app
    one = Commands(cls=_Group)
    one.registered_callback = app.registered_callback
    one.registered_commands, one.registered_groups = commands, groups
    return one
