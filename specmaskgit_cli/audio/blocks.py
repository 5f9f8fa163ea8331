"""Sounds that are written block by block, while they are made: as samples for another program, and to files."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..errors import SmgError

if TYPE_CHECKING:
    import numpy as np

UNKNOWN = 0xFFFFFFFF  # as the length of a chunk: it goes on to the end of the file


class Pcm:
    """Writes 16-bit samples, the lower byte first, to a pipe; each block at once.

    Args:
        header: begin with that of a WAV file of unknown length.
    """

    def __init__(self, file: BinaryIO, rate: int, channels: int, header: bool):
        self._file, self._begin = file, wav_header(rate, channels) if header else b""

    def __call__(self, block: np.ndarray) -> None:
        """Write float samples [channels, n]. Raises BrokenPipeError where nobody reads any more."""
        data = memoryview(self._begin + _pcm(block))
        while len(data):  # an unbuffered file may take less than it is given
            data = data[self._file.write(data) :]
        self._file.flush()
        self._begin = b""


def wav_header(rate: int, channels: int) -> bytes:
    """The header of a WAV file with 16-bit samples and an unknown length, as pipes have it."""
    width = 2 * channels
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * width, width, 16)
    sizes = struct.pack("<I", len(layout)), struct.pack("<I", UNKNOWN)
    return b"RIFF" + sizes[1] + b"WAVEfmt " + sizes[0] + layout + b"data" + sizes[1]


@contextlib.contextmanager
def sound_file(
    path: str | os.PathLike, rate: int, channels: int, tags: dict[str, str]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what appends a block, float [channels, n], to a new sound file, which gets its name after the block.

    Raises:
        SmgError: the file cannot be written, or the sound not be encoded.
    """
    import numpy as np
    import soundfile
    import soxr

    from .encoding import FORMATS, storable
    from .files import atomic_path, format_name
    from .metadata import native_name, set_tags

    name = format_name(path)
    kind, subtype = FORMATS[name]
    stored = storable(rate, subtype)
    texts = {key: [text] for key, text in tags.items()}
    changed = soxr.ResampleStream(rate, stored, channels, quality="HQ") if stored != rate else None

    def write(block: np.ndarray) -> None:
        samples = np.ascontiguousarray(block.T, np.float32)
        file.write((changed.resample_chunk(samples) if changed else samples).clip(-1, 1))

    with atomic_path(path) as temporary:
        try:
            with soundfile.SoundFile(
                native_name(temporary), "w", stored, channels, format=kind, subtype=subtype
            ) as file:
                if name != "wav":  # behind the samples there: readers expect those at byte 44
                    set_tags(file, texts)
                yield write
                if changed:
                    file.write(changed.resample_chunk(np.zeros((0, channels), np.float32), last=True).clip(-1, 1))
                if name == "wav":
                    set_tags(file, texts)
        except (soundfile.LibsndfileError, AssertionError) as error:  # the latter where it wrote less than all
            reason = getattr(error, "error_string", "not all was stored").rstrip(".")
            raise SmgError(f"cannot write {path}: {reason}; is the disk full?") from None


def _pcm(block: np.ndarray) -> bytes:
    import numpy as np

    return np.clip(np.rint(block.T * 32768), -32768, 32767).astype("<i2").tobytes()
