"""Chunks of RIFF files, which WAV is a kind of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

MAX_INFO = 1 << 20  # bytes of a list of texts


def chunks(file: BinaryIO, order: Literal["little", "big"] = "little") -> Iterator[tuple[bytes, int, int]]:
    """(name, place of the contents, their length) of each chunk of an open RIFF file, or with `order` "big" AIFF."""
    at = 12
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], order)
        yield head[:4], at + 8, size
        at += 8 + size + size % 2


def info_items(info: bytes) -> Iterator[tuple[bytes, str]]:
    """Names and texts of an INFO list."""
    at = 0
    while at + 8 <= len(info):
        length = int.from_bytes(info[at + 4 : at + 8], "little")
        yield info[at : at + 4], info[at + 8 : at + 8 + length].split(b"\0")[0].decode("utf-8", "replace")
        at += 8 + length + length % 2


def with_chunks(wav: bytes | memoryview, added: bytes) -> bytes:
    """A RIFF file with more chunks at its end, each of an even length."""
    data = bytearray(wav)
    data += bytes(len(data) % 2) + added
    data[4:8] = min(len(data) - 8, 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(data)
