"""Sound files that end before they should, by what their own headers promise: libsndfile takes what is there as all."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from .riff import chunks

_UNKNOWN = (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000)  # sizes that programs write where they cannot know them
_TAIL = 1 << 17  # bytes in which the last page of an Ogg file begins
_XING_BYTES = 2  # flag of the header of an MP3


def share_there(file: BinaryIO) -> float | None:
    """The share of a sound file that is there, below 1 where it is cut short; None where nothing can be told.

    Told of WAV and AIFF by the size of their samples, of MP3 by the Xing header, of Ogg by the last page: 0 stands
    for a share that is not known.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(4)
    if head == b"OggS":
        return _ogg(file, size)
    if head in (b"RIFF", b"FORM"):
        name = b"data" if head == b"RIFF" else b"SSND"
        for chunk, start, length in chunks(file, "little" if head == b"RIFF" else "big"):
            if chunk == name and length not in _UNKNOWN:
                return min(1.0, (size - start) / length) if length else None
        return None
    return _mp3(file, size)


def unfinished_wav(file: BinaryIO) -> int | None:
    """Where the samples of a WAV file begin whose header was never finished: it says that there are none, but what
    follows is no other chunk. None for any other file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) != b"RIFF":
        return None
    for chunk, start, length in chunks(file):
        if chunk == b"data":
            file.seek(start)
            after = file.read(8)
            named = len(after) == 8 and after[:4].decode("latin-1").isprintable()
            ordinary = named and start + 8 + int.from_bytes(after[4:], "little") <= size
            return start if length == 0 and len(after) >= 4 and not ordinary else None
    return None


class Finished:
    """A WAV file with the sizes that its header lacks, to be read like any other.

    Args:
        start: where its samples begin.
    """

    def __init__(self, file: BinaryIO, start: int):
        self.file, size = file, file.seek(0, os.SEEK_END)
        self.patches = ((4, struct.pack("<I", size - 8)), (start - 4, struct.pack("<I", size - start)))
        self.seek, self.tell = file.seek, file.tell
        file.seek(0)

    def read(self, count: int = -1) -> bytes:
        """As of any file."""
        at = self.file.tell()
        data = bytearray(self.file.read(count))
        for place, patch in self.patches:
            for index, value in enumerate(patch):
                if 0 <= place + index - at < len(data):
                    data[place + index - at] = value
        return bytes(data)


def _ogg(file: BinaryIO, size: int) -> float | None:
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0 or len(tail) < at + 27 or len(tail) < at + 27 + tail[at + 26]:
        return 0.0
    length = 27 + tail[at + 26] + sum(tail[at + 27 : at + 27 + tail[at + 26]])
    whole = at + length <= len(tail) and tail[at + 5] & 4  # the mark of a stream's last page
    return 1.0 if whole else 0.0


def _mp3(file: BinaryIO, size: int) -> float | None:
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(512)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[:1] != b"\xff" or not 4 <= at <= 40 or not int.from_bytes(frame[at + 4 : at + 8], "big") & _XING_BYTES:
        return None
    frames = int.from_bytes(frame[at + 4 : at + 8], "big") & 1
    promised = int.from_bytes(frame[at + 8 + 4 * frames : at + 12 + 4 * frames], "big")
    return min(1.0, (size - start) / promised) if promised else None
