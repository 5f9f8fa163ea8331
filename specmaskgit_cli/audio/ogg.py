"""Pages of Ogg files: the same bytes each time, and Opus that begins and ends within the sound that was encoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_SERIAL = b"smg\0"  # of Ogg streams, which should differ among those that are put into one file
_LAST = 4  # the mark of a stream's last page
OPUS_RATE = 48_000  # Hz, in which Opus counts whatever its rate is
_PRE_SKIP = slice(10, 12)  # in the header of Opus: how many samples a decoder leaves out at the beginning


def pages(ogg: bytes | bytearray | memoryview) -> Iterator[tuple[int, int, int]]:
    """(start, length, length of the header) of each page in bytes."""
    at = 0
    while at < len(ogg):
        count = ogg[at + 26]
        size = 27 + count + sum(ogg[at + 27 : at + 27 + count])
        yield at, size, 27 + count
        at += size


def set_serial(ogg: bytearray | memoryview) -> None:
    """Give all pages of an Ogg stream the same serial number, and their checksums."""
    for at, size, _ in pages(ogg):
        ogg[at + 14 : at + 18] = _SERIAL
        ogg[at + 22 : at + 26] = bytes(4)
        ogg[at + 22 : at + 26] = _checksum(ogg[at : at + size]).to_bytes(4, "little")


def cut_opus(ogg: bytes, rate: int, lead: int, length: int) -> bytearray:
    """An Opus file of which decoders leave out the first `lead` samples, and all that comes `length` samples later.

    Nothing is encoded anew: a decoder hears what lies around, and is exact to the sample. Checksums are to be set
    afterwards.
    """
    parts = [(ogg[at : at + size], head) for at, size, head in pages(ogg)]
    first, head = bytearray(parts[0][0]), parts[0][1]
    place = slice(head + _PRE_SKIP.start, head + _PRE_SKIP.stop)
    skipped = int.from_bytes(first[place], "little")
    scale = OPUS_RATE // rate
    first[place] = (skipped + lead * scale).to_bytes(2, "little")
    end, cut = skipped + (lead + length) * scale, first
    for part, _ in parts[1:]:
        page = bytearray(part)
        # The position after a page; -1 where no packet ends in it.
        if int.from_bytes(page[6:14], "little", signed=True) >= end:
            page[6:14] = end.to_bytes(8, "little")
            page[5] |= _LAST
            return cut + page
        cut += page
    raise ValueError(f"the file ends before sample {lead + length}")


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes | bytearray | memoryview) -> int:
    """CRC-32 as Ogg has it: zlib's polynomial with the bits the other way round, and neither inverted."""
    mirrored = zlib.crc32(bytes(page).translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
