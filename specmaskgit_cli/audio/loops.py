"""Loops in sound files: points that players and game engines go by, and which formats have no seam."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from .riff import chunks

SEAMLESS = ("wav", "flac", "opus")  # others blur the ends, or add silence
_SMPL_BYTES = 60  # of a sampler chunk with one loop
LEAD_SECONDS = 0.08  # of Opus before and after a loop, after which a decoder is as if it had heard all before


def sampler_chunk(rate: int, length: int) -> bytes:
    """A `smpl` chunk of WAV: all of the sound is one forward loop, endlessly."""
    body = struct.pack("<9I", 0, 0, round(1e9 / rate), 60, 0, 0, 0, 1, 0)  # 60: the key at which it sounds as recorded
    body += struct.pack("<6I", 0, 0, 0, length - 1, 0, 0)  # the last sample is part of the loop
    return b"smpl" + len(body).to_bytes(4, "little") + body


def comments(length: int) -> dict[str, list[str]]:
    """The same as Vorbis comments, for FLAC, Ogg and Opus."""
    return {"LOOPSTART": ["0"], "LOOPLENGTH": [str(length)]}


def seam(format: str) -> tuple[str, ...]:
    """A warning where a loop is to be written in a format, a key of FORMATS, that has no seamless ones."""
    if format in SEAMLESS:
        return ()
    return (f"{format} files may click where a loop begins again; write .wav, .flac or .opus to loop it",)


def read_loop(path: str | os.PathLike) -> tuple[int, int] | None:
    """(first sample, length) of the loop that a sound file tells of; None if none, or nothing that can be one."""
    from .inputs import stored
    from .tags import read_tags

    with open(stored(path), "rb") as file:
        if file.read(4) == b"RIFF":
            return _of_sampler(file)
    found, _ = read_tags(stored(path))
    try:
        start, length = (int(found[name][0]) for name in ("loopstart", "looplength"))
    except (KeyError, ValueError):
        return None
    return (start, length) if start >= 0 and length > 0 else None


def _of_sampler(file: BinaryIO) -> tuple[int, int] | None:
    for name, start, _ in chunks(file):
        if name == b"smpl":
            file.seek(start)
            body = file.read(_SMPL_BYTES)
            if len(body) == _SMPL_BYTES and int.from_bytes(body[28:32], "little"):  # how many loops there are
                first, last = struct.unpack("<2I", body[44:52])
                return (first, last - first + 1) if last >= first else None
    return None
