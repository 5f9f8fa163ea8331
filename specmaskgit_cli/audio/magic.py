"""Which sound files are decoded, by their first bytes.

libsndfile knows some twenty more formats, long out of use, with readers that are little tested and print to stdout.
"""

from __future__ import annotations

from typing import BinaryIO

_MAX_TAGS = 16  # before an MP3 or FLAC file


def is_decoded(file: BinaryIO) -> bool:
    """Whether an open file begins as WAV (RF64 and Wave64 too), AIFF, CAF, AU, FLAC, Ogg or MPEG audio do.

    The position in the file is that of its beginning afterwards.
    """
    at = 0
    try:
        for _ in range(_MAX_TAGS):
            file.seek(at)
            head = file.read(16)
            if head[:3] != b"ID3" or len(head) < 10:
                return _is_sound(head)
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            at += 10 + size
        return False
    finally:
        file.seek(0)


def _is_sound(head: bytes) -> bool:
    first, kind = head[:4], head[8:12]
    if first in (b"RIFF", b"RIFX", b"RF64"):
        return kind == b"WAVE"
    if first == b"FORM":
        return kind in (b"AIFF", b"AIFC")
    if first in (b"fLaC", b"OggS", b"caff", b".snd"):
        return True
    if head.startswith(b"riff\x2e\x91\xcf\x11"):  # Wave64
        return True
    # The sync of MPEG audio; two zero bits there are AAC.
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
