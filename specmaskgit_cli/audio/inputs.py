"""Sounds that can be read only once, from standard input and pipes: kept in a file for as long as the program runs."""

from __future__ import annotations

import functools
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from ..bounds import MAX_SAMPLES
from ..errors import SmgError

STDIN = "-"
MAX_BYTES = 4 * MAX_SAMPLES
_BLOCK = 1 << 20


def is_stream(path: str | os.PathLike) -> bool:
    """Whether a name stands for standard input or a pipe, which can be read only once and has no name of its own."""
    if os.fspath(path) == STDIN:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def stored(path: str | os.PathLike) -> Path:
    """Where the contents of a sound file lie: `path` itself, or for a stream a file that it was copied to.

    A stream is copied the first time that it is asked for, so that all that reads it finds the same.

    Raises:
        SmgError: a stream that cannot be read, or does not end before MAX_BYTES.
    """
    return _copied(os.fspath(path)) if is_stream(path) else Path(path)


@functools.cache
def _copied(name: str) -> Path:
    if name == STDIN:
        if sys.stdin.isatty():
            raise SmgError("standard input is a terminal; send a sound to it (< in.wav), or name a file instead of -")
        return _copy(sys.stdin.buffer, "standard input")
    try:
        with open(name, "rb") as file:
            return _copy(file, name)
    except OSError as error:
        raise SmgError(f"{name}: cannot be read: {error.strerror}") from None


def _copy(source: BinaryIO, name: str) -> Path:
    number, path = tempfile.mkstemp(dir=_folder().name)
    size = 0
    with open(number, "wb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > MAX_BYTES:
                os.unlink(path)
                raise SmgError(f"{name} holds more than {MAX_BYTES >> 20} MiB; cut the sound")
            file.write(block)
    return Path(path)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="smg-")  # removed when the program ends
