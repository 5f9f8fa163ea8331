"""The index of a search: the embeddings of sound files by their paths, in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..audio.files import check_writable
from ..errors import SmgError

_APPLICATION, _VERSION = 0x536D6753, 1  # tell other SQLite files, and those of other versions, apart
_PATIENCE = 60.0  # seconds to wait for another process that writes
_AT_ONCE = 256  # sounds in memory: 300 MB, should all last an hour
_TABLE = """CREATE TABLE sounds (
    path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, model TEXT, seconds REAL, embeddings BLOB
) WITHOUT ROWID"""


class Stamp(NamedTuple):
    """What tells whether a file has to be read anew: its size in bytes, its time in ns, and the hash of the model."""

    size: int
    modified: int
    model: str


class Entry(NamedTuple):
    """A sound in the index: the whole path of its file, its length, and embeddings [spans, D] of equal parts of it.

    The embeddings are stored as float16. Those of silent parts are zero.
    """

    path: str
    stamp: Stamp
    seconds: float
    embeddings: np.ndarray


class Index:
    """An index in a file, made where there is none; several processes may use it at a time.

    Paths are whole ones, of any bytes. Where a `place` is asked for, it is a file, or a folder with all that is below.

    Raises:
        SmgError: a file that is no such index, is damaged, or cannot be written; so do all methods.
    """

    def __init__(self, file: Path):
        check_writable(file)
        self.file = file
        with self._told():
            self._connection = sqlite3.connect(file, timeout=_PATIENCE)
        try:
            with self._told(), self._connection:
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_) -> None:
        self._connection.close()

    def stamps(self, place: Path) -> dict[str, Stamp]:
        """What is known of the files in a place, by their paths."""
        with self._told():
            query = "SELECT path, size, modified, model FROM sounds WHERE path >= ? AND path < ?"
            return {os.fsdecode(path): Stamp(*row) for path, *row in self._connection.execute(query, _range(place))}

    def change(self, new: Iterable[Entry], gone: Iterable[str]) -> None:
        """Store sounds, in the place of what was known of their files, and drop others: all of it or nothing."""
        rows = [
            (os.fsencode(each.path), *each.stamp, each.seconds, each.embeddings.astype(np.float16).tobytes())
            for each in new
        ]
        with self._told(), self._connection as connection:
            connection.executemany("DELETE FROM sounds WHERE path = ?", [(os.fsencode(path),) for path in gone])
            connection.executemany("INSERT OR REPLACE INTO sounds VALUES (?, ?, ?, ?, ?, ?)", rows)

    def entries(self, place: Path, model: str, size: int) -> Iterator[list[Entry]]:
        """The sounds in a place, some at a time, with embeddings of `size` numbers by a model of this hash."""
        query = "SELECT * FROM sounds WHERE path >= ? AND path < ? AND model = ?"
        with self._told():
            rows = self._connection.execute(query, (*_range(place), model))
            while some := rows.fetchmany(_AT_ONCE):
                yield [
                    Entry(os.fsdecode(path), Stamp(*stamp), seconds, np.frombuffer(data, np.float16).reshape(-1, size))
                    for path, *stamp, seconds, data in some
                ]

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")  # as another process may be making it too
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if found[0] != _APPLICATION:
            raise SmgError(f"{self.file} is a database of another program; name another file")
        if found[1] != _VERSION:
            raise SmgError(f"{self.file} was made by another version of smg search; delete it, or name another file")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Around what SQLite does: its errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:  # of the disk, of rights, or of another process
            raise SmgError(f"{self.file}: the index cannot be used: {error}") from None
        except (sqlite3.DatabaseError, ValueError) as error:  # ValueError: embeddings of another size
            raise SmgError(f"{self.file}: no index of smg search, or damaged ({error}); delete it") from None


def _range(place: Path) -> tuple[bytes, bytes]:
    """The paths of a place are those from the first on and before the second."""
    if not place.is_dir():
        return os.fsencode(place), os.fsencode(place) + b"\0"
    folder = os.fsencode(os.path.join(place, ""))
    return folder, folder[:-1] + bytes([folder[-1] + 1])
