"""Text tags in sound files: RIFF INFO in WAV, Vorbis comments in FLAC and Ogg, ID3 in MP3."""

from __future__ import annotations

import os

from ..errors import SmgError
from .magic import is_decoded

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
_MAX_READ = 1 << 20


def check_tags(tags: dict[str, str]) -> None:
    """Raise SmgError for a key that is not in KEYS, or more text than all formats can hold."""
    unknown = sorted(set(tags) - set(KEYS))
    if unknown:
        raise SmgError(f"unknown metadata {unknown[0]!r}; use {', '.join(KEYS)}")
    size = sum(len(str(value).encode("utf-8", "replace")) for value in tags.values())
    if size > MAX_BYTES:
        raise SmgError(f"the metadata takes {size} bytes, and files hold {MAX_BYTES}; shorten it, or leave it out")


def set_tags(file, tags: dict[str, str]) -> None:
    """Give tags to a soundfile.SoundFile that is being written."""
    for key, value in tags.items():
        setattr(file, key, str(value))


def id3(tags: dict[str, str]) -> bytes:
    """An ID3v2.4 tag in UTF-8, to precede the frames of an MP3 file; libsndfile writes Latin-1 alone."""
    frames = b""
    for key, value in tags.items():
        if name := KEYS[key]:
            language = b"eng\0" if name == "COMM" else b""
            text = b"\x03" + language + str(value).encode()
            frames += name.encode() + _syncsafe(len(text)) + b"\0\0" + text
    return b"ID3\x04\0\0" + _syncsafe(len(frames)) + frames


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


def _riff_comment(file) -> str:
    """ICMT of the INFO list; libsndfile reads lists of 2 kB at most."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        start = file.tell()
        if head[:4] == b"LIST" and file.read(4) == b"INFO":
            info = file.read(min(size - 4, _MAX_READ)) if size > 4 else b""
            at = 0
            while at + 8 <= len(info):
                name, length = info[at : at + 4], int.from_bytes(info[at + 4 : at + 8], "little")
                if name == b"ICMT":
                    return info[at + 8 : at + 8 + length].split(b"\0")[0].decode("utf-8", "replace")
                at += 8 + length + length % 2
        file.seek(start + size + size % 2)
    return ""


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
