"""What lies in a folder or a shard, before anything of it is read: sounds, the texts beside them, and tables."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ..audio.foreign import SUFFIXES as FOREIGN_SUFFIXES
from ..audio.samples import decode
from ..errors import SmgError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
TEXT_SUFFIXES = {".json", ".txt"}
TABLES = ("captions.csv", "captions.tsv", "captions.jsonl", "metadata.csv", "metadata.tsv", "metadata.jsonl")
MAX_TEXT_BYTES = 1 << 20  # of the text beside a sound


@dataclass(frozen=True)
class Member:
    """A file stored whole within a shard."""

    shard: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"

    def read_bytes(self) -> bytes:
        """Its contents. Raises SmgError where the shard ends before it does."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise SmgError(f"{self} is cut short; fetch or make the shard again")
        return data


@dataclass(frozen=True)
class Sound:
    """A sound that was found.

    Attributes:
        key: names the clip within its source.
        name: of its file within the source, with "/" between folders.
        json, text: the files beside it that describe it.
    """

    key: str
    name: str
    audio: Path | Member
    json: Path | Member | None = None
    text: Path | Member | None = None


@dataclass
class Contents:
    """All that was found; `tables` are of captions, each with the folder that its rows start from ("" at the top)."""

    sounds: list[Sound] = field(default_factory=list)
    tables: list[tuple[str, Path | Member]] = field(default_factory=list)


def read_sound(audio: Path | Member, resampled: int) -> tuple[np.ndarray, int]:
    """The samples of a sound, float32 [channels, n], and its rate; `resampled` is the rate it will be brought to.

    Raises:
        SmgError: it cannot be decoded, or is out of bounds; the message is the rest of a sentence about it.
    """
    try:
        return decode(audio if isinstance(audio, Path) else audio.read_bytes(), resampled, "")
    except SmgError as error:
        raise SmgError(str(error).lstrip(": ")) from None


def plain_name(name: str) -> str:
    """A path within a source as it is compared: "./a\\b.wav" is "a/b.wav"."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def is_copy_of_finder(name: str) -> bool:
    """Whether macOS made the file beside another one, for what other file systems cannot store."""
    return PurePosixPath(name).name.startswith("._")


def is_foreign(name: str) -> bool:
    """Whether a name is that of a sound of a kind that is never decoded."""
    return os.path.splitext(name)[1].lower() in FOREIGN_SUFFIXES


def read_small(file: Path | Member) -> bytes:
    """The contents of a text beside a sound. Raises SmgError where it cannot be one."""
    try:
        size = file.size if isinstance(file, Member) else file.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise SmgError(f"{file} has {size} bytes; a text beside a sound has {MAX_TEXT_BYTES} at most")
        return file.read_bytes()
    except OSError as error:
        raise SmgError(f"{file}: cannot be read: {error.strerror}") from None
