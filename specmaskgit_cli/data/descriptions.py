"""What is said about each sound of a source: in a table, in the texts beside it, or else in the name of its file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import UsageError
from .contents import Contents, Member, Sound, plain_name, read_small
from .remarks import Remarks
from .tables import (
    FILE_COLUMNS,
    JSON_LINES,
    Row,
    blank,
    decode_text,
    find_column,
    parse_object,
    parse_table,
    read_bytes,
)

MAX_CAPTION = 4096  # characters
SEPARATOR = "|"  # between labels of one clip


def describe(found: Contents, remarks: Remarks) -> Iterator[tuple[Sound, dict]]:
    """Each sound and what is known about it: `caption`, perhaps `label`, both text, and whatever else was given.

    Of a row in a table, the .json and the .txt, the first that has a caption is taken.

    Raises:
        SmgError: a text or a table that cannot be read, that does not fit the sounds, or whose captions are no text.
    """
    rows, several = _rows(found, remarks)
    unnamed = []
    for sound in found.sounds:
        row = rows.get(sound.name)
        info = _object(sound.json) if sound.json else {}
        captions = []
        for place, cells in ((row and row.place, row.cells if row else {}), (sound.json, info)):
            captions += texts_of(cells.get("caption"), f"{place}: caption")
        if not captions and sound.text:
            captions = texts_of(decode_text(read_small(sound.text), str(sound.text)), str(sound.text))
        if len(captions) > 1 and not row:
            several.append(sound.name)
        if not captions:
            unnamed.append(sound.name)
            captions = [caption_from_name(PurePosixPath(sound.name).stem)]
        info |= row.cells if row else {}
        label = label_of(info.pop("label", None), f"{row.place if row else sound.json}: label")
        yield sound, info | {"caption": captions[0]} | ({"label": label} if label else {})
    remarks.note("with several captions, of which the first is used", several)
    remarks.note("without a caption, called by the names of their files", unnamed)


def texts_of(value: object, place: str) -> list[str]:
    """The texts in a caption or a label: none, one, or those of a list. Raises UsageError for all else."""
    texts = []
    for item in value if isinstance(value, list) else [value]:
        if blank(item):
            continue
        if not isinstance(item, str):
            raise UsageError(f"{place} is {type(item).__name__} ({str(item)[:40]}); write it as text")
        if len(item) > MAX_CAPTION:
            raise UsageError(f"{place} has {len(item)} characters; shorten it to {MAX_CAPTION}")
        texts.append(item.strip())
    return texts


def label_of(value: object, place: str) -> str:
    """The labels of a clip, with SEPARATOR between several; "" for none. A number is that of a class."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return SEPARATOR.join(texts_of(str(value) if is_number else value, place))


def caption_from_name(stem: str) -> str:
    """ "Dog_Bark-03" -> "dog bark"."""
    stem = stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # a name may be no text
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-.+\N{REPLACEMENT CHARACTER}]+|\d+", " ", stem)
    return " ".join(words.lower().split()) or stem


def _object(file: Path | Member) -> dict:
    return parse_object(decode_text(read_small(file), str(file)), str(file))


def _rows(found: Contents, remarks: Remarks) -> tuple[dict[str, Row], list[str]]:
    """The row of each sound that has one, by the sound's name; and the names of sounds with several captions."""
    rows: dict[str, Row] = {}
    several: dict[str, None] = {}
    for folder, table in found.tables:
        data = read_bytes(table) if isinstance(table, Path) else table.read_bytes()
        listing = parse_table(data, str(table), PurePosixPath(table.name).suffix.lower() in JSON_LINES)
        if not listing:
            remarks.note("tables without a row", [str(table)])
            continue
        column = find_column(listing, FILE_COLUMNS, table)
        find_column(listing, ["caption"], table)
        index, absent = _Index(folder, found.sounds), []
        for row in listing:
            name = index.find(row, column)
            if name is None:
                absent.append(str(row.cells[column]))
            elif rows.setdefault(name, row).cells.get("caption") != row.cells.get("caption"):
                several[name] = None
        if len(absent) == len(listing):
            raise UsageError(
                f"{table}: none of its {len(listing)} rows names a sound beside or below it (the first names "
                f"{absent[0]!r}); correct column `{column}`, or take the table away"
            )
        remarks.note(f"of {len(listing)} rows of {table} name no sound here", absent)
    return rows, list(several)


class _Index:
    """Finds sounds below a folder by their paths, or by what is left of them without folders or extensions."""

    def __init__(self, folder: str, sounds: list[Sound]):
        self.found: list[dict[str, list[str]]] = [{}, {}, {}, {}]
        for sound in sounds:
            path = _comparable(sound.name)
            if folder and not path.startswith(_comparable(folder) + "/"):
                continue
            path = path[len(_comparable(folder)) + 1 :] if folder else path
            base = PurePosixPath(path).name
            for level, name in zip(self.found, (path, base, _stem(path), _stem(base)), strict=True):
                level.setdefault(name, []).append(sound.name)

    def find(self, row: Row, column: str) -> str | None:
        """Name of the one sound that a row is about. Raises UsageError where it names none, or may mean several."""
        name = row.cells.get(column)
        if not isinstance(name, str):
            raise UsageError(f"{row.place}: column {column} names no file; fill in the cell")
        for level in self.found:
            if names := dict.fromkeys(level.get(_comparable(name), ())):
                if len(names) > 1:
                    raise UsageError(f"{row.place}: {name} may be {' or '.join(list(names)[:2])}; write its whole path")
                return next(iter(names))
        return None


def _comparable(name: str) -> str:
    """File systems differ in how they write letters with accents."""
    return unicodedata.normalize("NFC", plain_name(name.strip()))


def _stem(name: str) -> str:
    return name[: -len(suffix)] if (suffix := PurePosixPath(name).suffix) else name
