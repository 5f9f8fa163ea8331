"""Tables as people make them, CSV, TSV or JSON Lines: read into rows of names and values, whatever they mean."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SmgError, UsageError

DELIMITERS = (",", ";", "\t")
JSON_LINES = (".jsonl", ".ndjson", ".json")
MAX_BYTES = 1 << 30
FILE_COLUMNS = ("file", "filename", "file_name", "mp3_path")  # that a table of sounds may name them in


@dataclass(frozen=True)
class Row:
    """One row as it was written.

    Attributes:
        number: counts the rows from 1, without the header and blank lines.
        place: file, row and line, for messages.
        cells: what was given, by column; in CSV all text. Blank cells are left out.
    """

    number: int
    place: str
    cells: dict[str, object]


def read_table(path: Path) -> list[Row]:
    """All rows of a table; the extension tells JSON Lines from CSV.

    Raises:
        SmgError: a file that cannot be read; UsageError: one that cannot be parsed.
    """
    return parse_table(read_bytes(path), str(path), path.suffix.lower() in JSON_LINES)


def read_bytes(path: Path) -> bytes:
    """The contents of a file. Raises SmgError where it cannot be read, or is larger than MAX_BYTES."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SmgError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise SmgError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SmgError(f"{path} is larger than {MAX_BYTES >> 20} MiB; split the table")
    return data


def parse_table(data: bytes, name: str, lines: bool, other_names: Mapping[str, str] | None = None) -> list[Row]:
    """All rows of the contents of a table, blank ones aside.

    Args:
        name: of the file, for messages.
        lines: whether it is JSON Lines; else CSV, with a header that also tells its delimiter.
        other_names: what columns may be called beside their own names.

    Raises:
        UsageError: no text, no table of that kind, a row with more cells than columns, a column without a name or
            named twice.
    """
    rows: list[dict] = []
    for line, cells in (_jsonl if lines else _csv)(decode_text(data, name), name, other_names or {}):
        cells = {column: value for column, value in cells.items() if not blank(value)}
        if cells:
            number = len(rows) + 1
            rows.append(Row(number, f"{name}: row {number} (line {line})", cells))
    return rows


def decode_text(data: bytes, name: str) -> str:
    """UTF-8, with or without a byte order mark, or UTF-16 with one; nothing else can be told for certain.

    Raises:
        UsageError: other text, or none.
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        if marked:
            raise UsageError(f"{name} begins as UTF-16 and is none; save it as UTF-8") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}: line {line} is not UTF-8 text; save it as UTF-8") from None
    if "\0" in text:
        raise UsageError(f"{name} holds zero bytes, so it is no text in UTF-8; save it as UTF-8")
    return text


def parse_object(text: str, place: str) -> dict[str, object]:
    """The JSON object in a text. Raises UsageError for any other text, and what cannot be written again as UTF-8."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # refuses halves of surrogate pairs
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is no JSON ({error}); write one JSON object") from None
    if not isinstance(value, dict):
        raise UsageError(f"{place} is {type(value).__name__}; write one JSON object")
    return value


def column_name(name: str) -> str:
    """A column's name however it is written: "File Name" stays two words, "File-Name" is "file_name"."""
    return name.strip().lower().replace("-", "_")


def find_column(rows: Sequence[Row], names: Sequence[str], table: object) -> str:
    """The first of `names` that is a column of the rows. Raises UsageError where none is."""
    present = dict.fromkeys(column for row in rows for column in row.cells)
    found = next((name for name in names if name in present), None)
    if found is None:
        listed = ", ".join(list(present)[:12]) or "none"
        raise UsageError(f"{table}: no column `{names[0]}` with anything in it; its columns are {listed}")
    return found


def blank(value: object) -> bool:
    """Whether a cell holds nothing: null, or white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def _csv(text: str, name: str, other_names: Mapping[str, str]) -> Iterator[tuple[int, dict[str, object]]]:
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
                columns = [_known(value, other_names) for value in values]
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


def _jsonl(text: str, name: str, other_names: Mapping[str, str]) -> Iterator[tuple[int, dict[str, object]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        values = parse_object(content, f"{name}: line {line}")
        cells = {_known(key, other_names): value for key, value in values.items()}
        if len(cells) < len(values):
            raise UsageError(f"{name}: line {line} gives a key twice; leave one out")
        yield line, cells


def _known(name: str, other_names: Mapping[str, str]) -> str:
    name = column_name(name)
    return other_names.get(name, name)
