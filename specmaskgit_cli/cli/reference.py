"""The reference page of the command line, made from the help texts: `python -m specmaskgit_cli.cli.reference`."""

from __future__ import annotations

from ..terminal import say

WIDTH = 100  # columns of the help texts, whatever the terminal

_HEADER = """# Command line

Made from the help texts by `python -m specmaskgit_cli.cli.reference > docs/cli.md`; do not edit by hand.

Results go to standard output, everything else to standard error; with `--json` as one object: [json.md](json.md). Exit
codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted. `SMG_MODEL` names another default model, `SMG_DEBUG=1` shows
tracebacks, `NO_COLOR` is honoured. `smg --install-completion` lets the shell complete commands, options, the models on
this computer and the values of some options.
"""


def reference() -> str:
    """The whole page as Markdown: a section for each command, in the order of `smg --help`."""
    from typer.main import get_command

    from .app import app

    sections = [_HEADER]
    _describe(get_command(app), "smg", None, sections)
    return "\n".join(sections)


def _describe(command, name: str, parent, sections: list[str]) -> None:
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH)
    text = "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())
    sections.append(f"## {context.command_path}\n\n```text\n{text}\n```\n")
    for child in getattr(command, "commands", {}).values():
        if not child.hidden:
            _describe(child, child.name, context, sections)


if __name__ == "__main__":
    say(reference().rstrip("\n"), lines=True)
