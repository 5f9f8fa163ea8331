"""The rows of a job file, CSV or JSON Lines, as names and values; what they mean is none of its business."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import SmgError, UsageError

STDIN = "-"
DELIMITERS = (",", ";", "\t")
OTHER_NAMES = {"n": "num", "box": "boxes"}  # as on the command line


@dataclass(frozen=True)
class Row:
    """A job as it was written.

    Attributes:
        number: counts the rows from 1, without the header and blank lines.
        place: file, row and line, for messages.
        cells: what was given, by column; in CSV all text. Blank cells are left out.
    """

    number: int
    place: str
    cells: dict[str, object]


def read_rows(path: str) -> list[Row]:
    """All rows of a .csv, .tsv or .jsonl file; "-" is JSON Lines on standard input.

    Raises:
        SmgError: a file that cannot be read; UsageError: one of another kind, that cannot be parsed, or without rows.
    """
    kind = ".jsonl" if path == STDIN else Path(path).suffix.lower()
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl}
    if kind not in readers:
        raise UsageError(f"{path}: unknown extension {kind!r}; give jobs as .csv or .jsonl, or - for JSON Lines")
    name = "standard input" if path == STDIN else path
    rows = []
    for line, cells in readers[kind](_text(path, name), name):
        cells = {column: value for column, value in cells.items() if not _blank(value)}
        if cells:
            number = len(rows) + 1
            rows.append(Row(number, f"{name}: row {number} (line {line})", cells))
    if not rows:
        raise UsageError(f"{name} holds no jobs; give a row for each sound")
    return rows


def _text(path: str, name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except FileNotFoundError:
        raise SmgError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise SmgError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}: line {line} is not UTF-8 text; save it as UTF-8") from None


def _csv(text: str, name: str) -> Iterator[tuple[int, dict[str, object]]]:
    header = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)  # spreadsheets of many countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns, line = None, 1
    try:
        for values in reader:
            started, line = line, reader.line_num + 1
            if not any(value.strip() for value in values):
                continue
            if columns is None:
                columns = [_column(value) for value in values]
                _check_columns(columns, name)
                continue
            if len(values) > len(columns) and any(value.strip() for value in values[len(columns) :]):
                raise UsageError(
                    f"{name}: line {started} has {len(values)} cells for {len(columns)} columns; put text that holds a "
                    f"{delimiter!r} in double quotes"
                )
            yield started, dict(zip(columns, values, strict=False))
    except csv.Error as error:
        raise UsageError(f"{name}: line {line} is no CSV ({error}); check its quotes") from None


def _check_columns(columns: list[str], name: str) -> None:
    for index, column in enumerate(columns):
        if not column:
            raise UsageError(f"{name}: column {index + 1} has no name; name it in the first row")
        if column in columns[:index]:
            raise UsageError(f"{name}: there are two columns {column!r}; leave one out")


def _jsonl(text: str, name: str) -> Iterator[tuple[int, dict[str, object]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{name}: line {line} is no JSON ({error}); write one object on each line") from None
        if not isinstance(values, dict):
            raise UsageError(f"{name}: line {line} is {type(values).__name__}; write one JSON object on each line")
        cells = {_column(key): value for key, value in values.items()}
        if len(cells) < len(values):
            raise UsageError(f"{name}: line {line} gives a key twice; leave one out")
        yield line, cells


def _column(name: str) -> str:
    name = name.strip().lower().replace("-", "_")
    return OTHER_NAMES.get(name, name)


def _blank(value: object) -> bool:
    return value is None or isinstance(value, str) and not value.strip()
