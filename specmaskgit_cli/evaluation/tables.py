"""Results as tables: for a terminal, for a pipe and for a Markdown page."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from ..audio.files import atomic_path
from ..errors import SmgError
from ..terminal import printable, say

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and rows of as many cells; None is a number that was not measured."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]


def measured(row: dict[str, float], name: str) -> Cell:
    """A number of a row of measurements, with its standard error if that is known."""
    value, error = row.get(name), row.get(f"{name}_error")
    return value if error is None else f"{value:.3f} ± {error:.3f}"


def plain(table: Table) -> str:
    """Aligned columns: texts to the left, numbers to the right."""
    cells = [table.columns, *([_shown(cell) for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
    return "\n".join([table.title, *lines])


def markdown(table: Table) -> str:
    """A table of GitHub's Markdown under its title."""
    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [table.columns, rule, *([_shown(cell).replace("|", "\\|") for cell in row] for row in table.rows)]
    return "\n".join([f"**{table.title}**", "", *(f"| {' | '.join(row)} |" for row in rows)])


def show(tables: list[Table]) -> None:
    """Print tables with Rich on a terminal, and plain into a file or a pipe."""
    if not sys.stdout.isatty():
        say("\n\n".join(map(plain, tables)), lines=True)
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console()
    for table in tables:
        drawn = RichTable(title=Text(printable(table.title)), title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
        for index, name in enumerate(table.columns):
            drawn.add_column(Text(printable(name)), justify="right" if index else "left", no_wrap=not index)
        for row in table.rows:
            drawn.add_row(*(Text(printable(_shown(cell))) for cell in row))
        console.print(drawn)


def earlier(path: Path | None, document: dict, part: str) -> dict | None:
    """The report of an earlier run of the same measurement, if the file is there.

    Args:
        document: what names the measurement: its `model_hash` and `options`.
        part: what a report must have.

    Raises:
        SmgError: the file is none, or that of another model or of other options.
    """
    if path is None or not path.exists():
        return None
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = all(before[name] == document[name] for name in ("model_hash", "options"))
        before[part].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SmgError(f"{path}: not a report of this command ({error!r}); name another with -o") from None
    if not same:
        raise SmgError(f"{path} holds a measurement of another model or with other options; name another with -o")
    return before


def write_report(path: Path, document: dict) -> None:
    """Write plain JSON types to a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
