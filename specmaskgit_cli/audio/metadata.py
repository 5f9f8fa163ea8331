"""Text tags in sound files: RIFF INFO in WAV, Vorbis comments in FLAC and Ogg, ID3 in MP3."""

from __future__ import annotations

import os
from typing import BinaryIO

from ..errors import SmgError
from .magic import is_decoded
from .riff import MAX_INFO, chunks, info_items

# Key -> ID3 frame; all are libsndfile's names too. Which formats cannot store a key, libsndfile knows.
KEYS = {
    "title": "TIT2",
    "copyright": "TCOP",
    "software": "TSSE",
    "artist": "TPE1",
    "comment": "COMM",
    "date": "TDRC",
    "album": "TALB",
    "license": None,
    "tracknumber": "TRCK",
    "genre": "TCON",
}
MAX_BYTES = 40_000  # libsndfile writes broken Opus files from about 50 kB on, and leaves out more than 250 kB in WAV


def check_tags(tags: dict[str, str]) -> None:
    """Raise SmgError for a key that is not in KEYS, or more text than all formats can hold."""
    unknown = sorted(set(tags) - set(KEYS))
    if unknown:
        raise SmgError(f"unknown metadata {unknown[0]!r}; use {', '.join(KEYS)}")
    size = sum(len(str(value).encode("utf-8", "replace")) for value in tags.values())
    if size > MAX_BYTES:
        raise SmgError(f"the metadata takes {size} bytes, and files hold {MAX_BYTES}; shorten it, or leave it out")


def set_tags(file, tags: dict[str, list[str]]) -> None:
    """Give tags to a soundfile.SoundFile that is being written, as far as libsndfile knows them."""
    for key in KEYS:  # in this order, so that the same tags are the same bytes in every process
        if key in tags:
            setattr(file, key, "; ".join(tags[key]))


def native_name(path: str | os.PathLike) -> str | bytes:
    """A file name for soundfile, which takes on POSIX those that are no text only as bytes."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def read_comment(path: str | os.PathLike) -> str:
    """The comment of a sound file; "" where it has none.

    Raises:
        SmgError: the file cannot be read, or is no sound file.
    """
    import soundfile

    from .inputs import stored

    try:
        with open(stored(path), "rb") as file:
            if not is_decoded(file):
                raise SmgError(f"{path}: not a sound file, or damaged; name a WAV, FLAC, OGG or MP3 file")
            if file.read(4) == b"RIFF":
                return _riff_comment(file)
        with soundfile.SoundFile(native_name(stored(path))) as file:
            return file.comment
    except OSError as error:
        raise SmgError(f"{path}: cannot be read: {error.strerror}") from None
    except (soundfile.LibsndfileError, TypeError):  # TypeError: whatever is called .raw
        raise SmgError(f"{path}: not a sound file, or damaged; name a WAV, FLAC, OGG or MP3 file") from None


def _riff_comment(file: BinaryIO) -> str:
    """ICMT of the INFO list; libsndfile reads lists of 2 kB at most."""
    for name, start, size in chunks(file):
        file.seek(start)
        if name == b"LIST" and file.read(4) == b"INFO":
            for key, text in info_items(file.read(min(size - 4, MAX_INFO)) if size > 4 else b""):
                if key == b"ICMT":
                    return text
    return ""
