"""The reference page of the command line, made from the help texts: `python -m specmaskgit_cli.cli.reference`."""

from __future__ import annotations

from ..options import OutputOptions, options_of
from ..options.fields import MODEL, OUTPUT, SAMPLING, Option
from ..tasks import TASKS
from ..terminal import say

SHARED = (SAMPLING, OUTPUT, MODEL)  # groups of options that several commands have
WIDTH = 100  # columns of the help texts, whatever the terminal

_HEADER = """# Command line

Made from the help texts by `python -m specmaskgit_cli.cli.reference > docs/cli.md`; do not edit by hand.

Results go to standard output, everything else to standard error; with `--json` as one object: [json.md](json.md). Exit
codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted. `SMG_MODEL` names another default model, `SMG_DEBUG=1` shows
tracebacks, `NO_COLOR` is honoured. `smg --install-completion` lets the shell complete commands, options, the models on
this computer and the values of some options.
"""

_BY_NAME = """## Options by name

The options of tasks and of the output have these names in the tables of `smg batch`, in Python, in JSON reports, in the
metadata of files and over HTTP. Where no default is given they may be left open.

| name | tasks | values | default | |
|---|---|---|---|---|"""


def reference() -> str:
    """The whole page as Markdown: a section for each command, in the order of `smg --help`."""
    from typer.main import get_command

    from .app import app

    sections = [_HEADER]
    _describe(get_command(app), "smg", None, sections, {})
    return "\n".join([*sections, _by_name()])


def _by_name() -> str:
    """The table of the options of tasks and of the output."""
    found: dict[str, dict[str, Option]] = {}
    for owner, task in TASKS.items():
        for name, option in options_of(task.options).items():
            found.setdefault(name, {})[owner] = option
    for name, option in options_of(OutputOptions).items():
        of_output = {owner: option for owner, task in TASKS.items() if name not in task.options.without}
        found[name] = found.get(name, {}) | of_output
    return "\n".join([_BY_NAME, *(_row(name, owners) for name, owners in found.items()), ""])


def _row(name: str, owners: dict[str, Option]) -> str:
    first = next(iter(owners.values()))
    tasks = ", ".join(owners) if len(owners) < len(TASKS) else "all"
    defaults = _told_apart({task: _default(option.default) for task, option in owners.items()})
    helps = _told_apart({task: option.help for task, option in owners.items()})
    return (
        f"| `{name}` | {tasks} | {first.kind.allowed} | {defaults} | {'`false`: ' * (first.default is True)}{helps} |"
    )


def _told_apart(texts: dict[str, str]) -> str:
    """The text of the first task, and those of others that differ with their names."""
    tasks: dict[str, list[str]] = {}
    for task, text in texts.items():
        tasks.setdefault(text, []).append(task)
    first, *others = tasks
    return "; ".join([first, *(f"{', '.join(tasks[text])}: {text}" for text in others if text)]).replace(".;", ";")


def _default(value) -> str:
    named = {...: "needed", None: "", True: "true", False: "false"}
    return named[value] if isinstance(value, bool) or value in (None, ...) else f"{value}"


def _describe(command, name: str, parent, sections: list[str], known: dict[str, str]) -> None:
    """Add the section of a command, and of those below it. `known`: by the text of a group of options the command that
    listed it first, which the others refer to."""
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH)
    text = "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())
    parts, path = [], context.command_path
    for part in text.split("\n\n"):
        heading = part.partition("\n")[0]
        shared = heading.rstrip(":") in SHARED
        first = known.setdefault(part, path) if shared else path
        parts.append(part if first == path else f"{heading} as for `{first}`.")
    listed = [part for part in parts if not part.endswith("`.")]
    others = [part.replace(":", " options") for part in parts if part.endswith("`.")]
    text = "\n\n".join(listed)
    sections.append(f"## {path}\n\n```text\n{text}\n```\n" + (f"\n{' '.join(others)}\n" if others else ""))
    for child in getattr(command, "commands", {}).values():
        if not child.hidden:
            _describe(child, child.name, context, sections, known)


if __name__ == "__main__":
    say(reference().rstrip("\n"), lines=True)
