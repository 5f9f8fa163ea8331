"""What a sound file tells beside its samples, to be kept by edits: tags, pictures, and which channel is which."""

from __future__ import annotations

import base64
import contextlib
import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .metadata import KEYS, MAX_BYTES
from .riff import MAX_INFO, chunks, info_items

if TYPE_CHECKING:
    from mutagen.flac import Picture

OWN = ("software", "encoder", "comment", "loopstart", "looplength")  # which the result has its own of
MAX_PICTURES = 4 << 20  # bytes of all pictures that are kept
_INFO = {
    b"INAM": "title", b"IART": "artist", b"ICOP": "copyright", b"IPRD": "album", b"ICRD": "date", b"IGNR": "genre",
    b"ITRK": "tracknumber", b"ICMT": "comment",
}  # fmt: skip
_PICTURES = "metadata_block_picture"
_EXTENSIBLE = 0xFFFE  # the kind of WAV that says which channel is which


@dataclass(frozen=True)
class Extras:
    """What is kept of a file.

    Attributes:
        texts: names as of Vorbis comments, in small letters, and their values.
        pictures: such as the cover of an album.
        mask: of speakers, as WAV has it: a bit for each channel; None where the file does not tell.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    mask: int | None = None


def read_extras(path: str | os.PathLike) -> Extras:
    """What a file holds that an edit keeps: nothing where it holds none, or cannot be understood."""
    texts, pictures = read_tags(path)
    kept = {name: values for name, values in texts.items() if name not in OWN}
    if comment := [value for value in texts.get("comment", ()) if '{"smg":' not in value]:
        kept.setdefault("description", comment)  # the comment of the result says how it was made
    while sum(map(_size, kept.values())) > MAX_BYTES // 2:
        kept.pop(max(kept, key=lambda name: _size(kept[name])))
    small = sum(len(picture.data) for picture in pictures) <= MAX_PICTURES
    return Extras(kept, tuple(pictures) if small else (), _mask(path))


def read_tags(path: str | os.PathLike) -> tuple[dict[str, list[str]], list[Picture]]:
    """The tags of a sound file under the names of Vorbis comments, in small letters, and its pictures; of a file that
    cannot be understood, none."""
    from mutagen.flac import Picture

    texts, file = _info(path), _opened(path)
    pictures: list[Picture] = list(getattr(file, "pictures", ()))
    frames = {frame: key for key, frame in KEYS.items() if frame}
    for name, value in (getattr(file, "tags", None) or {}).items():
        frame = name.split(":")[0]
        if frame == "APIC":
            picture = Picture()
            picture.data, picture.mime, picture.type, picture.desc = value.data, value.mime, value.type, value.desc
            pictures.append(picture)
        elif name.lower() == _PICTURES:
            for text in value:
                with contextlib.suppress(Exception):  # whatever a damaged one raises
                    pictures.append(Picture(base64.b64decode(text)))
        elif frame in frames or frame == "TXXX":
            texts[frames.get(frame) or value.desc.lower()] = [str(text) for text in value.text]
        elif isinstance(value, list):
            texts[name.lower()] = [str(text) for text in value]
    return {name: values for name, values in texts.items() if _is_name(name)}, pictures


def tagged(data: bytes | memoryview, kind: str, texts: dict[str, list[str]], pictures: tuple[Picture, ...]) -> bytes:
    """The bytes of a FLAC, Ogg or MP3 file with these tags alone.

    Args:
        kind: libsndfile's name of the format.
    """
    if kind == "MP3":
        return id3(texts, pictures) + bytes(data)
    import mutagen
    from mutagen.flac import FLAC

    buffer = io.BytesIO(bytes(data))
    file: Any = FLAC(buffer) if kind == "FLAC" else mutagen.File(buffer)
    file.tags.clear()
    for name, values in texts.items():
        file.tags[name] = values
    if kind == "FLAC":
        for picture in pictures:
            file.add_picture(picture)
    elif pictures:
        file.tags[_PICTURES] = [base64.b64encode(picture.write()).decode("ascii") for picture in pictures]
    buffer.seek(0)
    file.save(buffer)
    return buffer.getvalue()


def id3(texts: dict[str, list[str]], pictures: tuple[Picture, ...] = ()) -> bytes:
    """An ID3v2.4 tag in UTF-8, as it precedes the frames of an MP3 file; names that ID3 has none for become TXXX."""
    from mutagen import id3 as frames

    tag = frames.ID3()
    for name, values in texts.items():
        if name == "comment":
            tag.add(frames.COMM(encoding=3, lang="eng", text=values))
        elif frame := KEYS.get(name):
            tag.add(getattr(frames, frame)(encoding=3, text=values))
        else:
            tag.add(frames.TXXX(encoding=3, desc=name, text=values))
    for picture in pictures:
        tag.add(frames.APIC(encoding=3, mime=picture.mime, type=picture.type, desc=picture.desc, data=picture.data))
    buffer = io.BytesIO()
    tag.save(buffer)
    return buffer.getvalue()


def _opened(path: str | os.PathLike):
    """A file with its tags as mutagen reads them; None where it cannot."""
    import mutagen
    from mutagen.aiff import AIFF
    from mutagen.flac import FLAC
    from mutagen.mp3 import MP3
    from mutagen.oggopus import OggOpus
    from mutagen.oggvorbis import OggVorbis
    from mutagen.wave import WAVE

    with contextlib.suppress(Exception), open(path, "rb") as file:  # whatever damaged tags raise: the sound counts
        return mutagen.File(file, [FLAC, OggVorbis, OggOpus, MP3, WAVE, AIFF])
    return None


def _info(path: str | os.PathLike) -> dict[str, list[str]]:
    """The INFO list of a WAV file."""
    found = {}
    with open(path, "rb") as file:
        if file.read(4) == b"RIFF":
            for name, start, size in chunks(file):
                file.seek(start)
                if name == b"LIST" and file.read(4) == b"INFO":
                    for key, value in info_items(file.read(min(size - 4, MAX_INFO)) if size > 4 else b""):
                        if key in _INFO:
                            found[_INFO[key]] = [value]
    return found


def _mask(path: str | os.PathLike) -> int | None:
    with open(path, "rb") as file:
        if file.read(4) == b"RIFF":
            for name, start, size in chunks(file):
                if name == b"fmt " and size >= 24:
                    file.seek(start)
                    head = file.read(24)
                    if int.from_bytes(head[:2], "little") == _EXTENSIBLE:
                        return int.from_bytes(head[20:24], "little") or None
    return None


def _is_name(name: str) -> bool:
    """Whether a Vorbis comment can have this name."""
    return bool(name) and all(" " <= letter <= "}" and letter != "=" for letter in name)


def _size(values: list[str]) -> int:
    return sum(len(value.encode("utf-8", "replace")) for value in values)
