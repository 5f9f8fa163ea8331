"""The rows of a job file, CSV or JSON Lines, as names and values; what they mean is none of its business."""

from __future__ import annotations

import sys
from pathlib import Path

from ..data.tables import Row, parse_table, read_bytes
from ..errors import UsageError

STDIN = "-"
LINES = {".csv": False, ".tsv": False, ".jsonl": True, ".ndjson": True}
OTHER_NAMES = {"n": "num", "box": "boxes"}  # as on the command line


def read_rows(path: str) -> list[Row]:
    """All rows of a .csv, .tsv or .jsonl file; "-" is JSON Lines on standard input.

    Raises:
        SmgError: a file that cannot be read; UsageError: one of another kind, that cannot be parsed, or without rows.
    """
    kind = ".jsonl" if path == STDIN else Path(path).suffix.lower()
    if kind not in LINES:
        raise UsageError(f"{path}: unknown extension {kind!r}; give jobs as .csv or .jsonl, or - for JSON Lines")
    name = "standard input" if path == STDIN else path
    data = sys.stdin.buffer.read() if path == STDIN else read_bytes(Path(path))
    rows = parse_table(data, name, LINES[kind], OTHER_NAMES)
    if not rows:
        raise UsageError(f"{name} holds no jobs; give a row for each sound")
    return rows
