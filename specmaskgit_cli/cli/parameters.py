"""Options as parameters of commands, made from what their dataclass fields say, and help pages that group them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..options import options_of
from ..options.fields import Option
from ..options.kinds import Choice
from .complete import among


def hint(name: str, option: Option) -> Any:
    """The type hint that tells Typer of an option."""
    kind, help = option.kind, option.help
    settings = {"metavar": option.metavar, "rich_help_panel": option.group}
    if isinstance(kind, Choice):
        settings["autocompletion"] = among(*kind.words)
        if option.metavar is None:
            help = f"{help.rstrip('.')}: {', '.join(kind.words[:-1])} or {kind.words[-1]}."
    type = kind.type | None if option.default is None else kind.type
    names = option.names or (f"--{name.replace('_', '-')}",)
    return Annotated[type, typer.Option(*names, help=help, **settings)]


def hint_of(kind: type, name: str) -> Any:
    """The type hint for an option of a class, for a command that has it too."""
    return hint(name, options_of(kind)[name])


class GroupedCommand(TyperCommand):
    """A command whose help lists its options under the headings that `rich_help_panel` names, in plain text."""

    def format_options(self, ctx, formatter) -> None:
        groups: dict[str, list] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                heading = "Arguments" if parameter.param_type_name == "argument" else parameter.rich_help_panel
                groups.setdefault(heading or "Options", []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class Commands(typer.Typer):
    """Commands with plain help pages in groups: with Rich markup, printing one would take twice the time."""

    def __init__(self, **settings):
        super().__init__(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)

    def command(self, name: str | None = None, **settings):
        return super().command(name, cls=GroupedCommand, **settings)
