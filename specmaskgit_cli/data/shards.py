"""Shards as WebDataset has them: tar files in which all that belongs to a clip has one name, up to its first dot.

The headers are read first and sounds one at a time after, so that a shard may be in any order, and no more of it than
a sound is in memory.
"""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..audio.foreign import advice, kind_of
from ..errors import SmgError
from .contents import (
    AUDIO_SUFFIXES,
    TABLES,
    TEXT_SUFFIXES,
    Contents,
    Member,
    Sound,
    is_copy_of_finder,
    is_foreign,
    plain_name,
)
from .remarks import Remarks

COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
MAX_SOUND_BYTES = 1 << 30
_AFTER = 1 << 16  # bytes behind the end mark in which another archive would begin
# Besides its own, tarfile raises these for headers that make no sense.
_FAULTS = (tarfile.TarError, OSError, EOFError, ValueError, LookupError, ArithmeticError, RecursionError, TypeError)

Sample = dict[str, Member]  # by extension


def read_shard(path: Path, remarks: Remarks) -> Contents:
    """What lies in a shard; clips in the order in which their names first appear.

    Raises:
        SmgError: no plain tar file, a damaged one, or a clip with several sounds or captions of which none is the one.
    """
    found, unusable = Contents(), set()
    samples: dict[str, list[Sample]] = {}
    for entry in _entries(path, remarks):
        name = plain_name(entry.name)
        base = PurePosixPath(name).name
        stem, _, extension = base.partition(".")
        suffix = PurePosixPath(base).suffix.lower()
        if not stem or entry.isdir() or is_copy_of_finder(base):
            continue
        key = name[: len(name) - len(base)] + stem
        member = Member(path, name, entry.offset_data, entry.size)
        if base.lower() in TABLES and entry.isreg() and not entry.issparse():
            found.tables.append((name[: -len(base)].rstrip("/"), member))
        elif reason := _unusable(entry, suffix):
            remarks.leave_out(name, reason)
            unusable.add(key)
        elif suffix in AUDIO_SUFFIXES | TEXT_SUFFIXES:
            _place(samples.setdefault(key, []), extension.lower(), member)
    alone: list[str] = []
    spare: list[str] = []
    for key, several in samples.items():
        for sample in several:
            if sound := _sound(key, sample, spare):
                found.sounds.append(sound)
            elif key not in unusable:
                alone += [member.name for member in sample.values()]
    remarks.note("texts without a sound", alone)
    remarks.note("sounds of which another form is used", spare)
    return found


def _place(samples: list[Sample], extension: str, member: Member) -> None:
    """Put a member into the first clip of its name that lacks one of its kind: names may come several times."""
    sample = next((sample for sample in samples if extension not in sample), None)
    if sample is None:
        samples.append(sample := {})
    sample[extension] = member


def _unusable(entry: tarfile.TarInfo, suffix: str) -> str | None:
    """Why a member is no sound or text that can be read; None where it is, or is neither."""
    if is_foreign(entry.name):
        return advice(kind_of(entry.name))
    if suffix not in AUDIO_SUFFIXES | TEXT_SUFFIXES:
        return None
    if entry.islnk() or entry.issym():
        return "a link; make the tar with --dereference --hard-dereference"
    if not entry.isreg():
        return "not a regular file"
    if entry.issparse():
        return "stored sparse; make the tar without --sparse"
    if entry.size > MAX_SOUND_BYTES:
        return f"larger than {MAX_SOUND_BYTES >> 30} GiB; cut it"
    return None


def _sound(key: str, sample: Sample, spare: list[str]) -> Sound | None:
    """The clip of a name, if there is a sound in it; names of its other sounds are added to `spare`."""
    sounds = [extension for extension in sample if "." + extension.rpartition(".")[2] in AUDIO_SUFFIXES]
    if not sounds:
        return None
    plain = [extension for extension in sounds if "." not in extension]
    if len(sounds) > 1 and not plain:
        both = " and ".join(sample[extension].name for extension in sounds[:2])
        raise SmgError(f"{sample[sounds[0]].shard}: {both} are of one clip; leave one sound to each name")
    chosen = (plain or sounds)[0]
    spare += [sample[extension].name for extension in sounds if extension != chosen]
    texts = [_text(sample, kind, chosen) for kind in ("json", "txt")]
    return Sound(key, sample[chosen].name, sample[chosen], *texts)


def _text(sample: Sample, kind: str, chosen: str) -> Member | None:
    """The text of a kind that describes the sound whose extension is `chosen`."""
    texts = [extension for extension in sample if extension.rpartition(".")[2] == kind]
    own = chosen.rpartition(".")[0]
    best = next((extension for extension in (kind, f"{own}.{kind}") if extension in texts), None)
    if best is None and len(texts) > 1:
        both = " and ".join(sample[extension].name for extension in texts[:2])
        raise SmgError(f"{sample[chosen].shard}: {both} are of one clip; name the one that describes it KEY.{kind}")
    return sample[best or texts[0]] if texts else None


def _entries(path: Path, remarks: Remarks) -> list[tarfile.TarInfo]:
    """All members. Raises SmgError where the file is compressed, no tar file, or damaged anywhere."""
    entries: list[tarfile.TarInfo] = []
    try:
        with path.open("rb") as file:
            _check_plain(path, file.read(6))
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for entry in tar:
                    if entry.size < 0 or (entries and entry.offset <= entries[-1].offset):
                        raise tarfile.ReadError("a header leads backwards")
                    entries.append(entry)
                if not _has_end(file, tar.offset):
                    remarks.note("shards without an end mark, of which some may be missing", [path.name])
    except _FAULTS as error:
        raise SmgError(f"{path}: not a readable shard ({error}); fetch or make it again, or take it away") from None
    return entries


def _check_plain(path: Path, head: bytes) -> None:
    """Raise SmgError where a shard that begins with `head` is compressed."""
    for magic, tool in COMPRESSED.items():
        if head.startswith(magic):
            raise SmgError(f"{path} is compressed; unpack it ({tool}) and name the .tar file")


def _has_end(file: BinaryIO, offset: int) -> bool:
    """Whether the end mark is there. Raises ReadError where anything else is, which tarfile takes for the end."""
    file.seek(offset)
    block, rest = file.read(tarfile.BLOCKSIZE), file.read(_AFTER)
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"damaged at byte {offset}")
    if rest.strip(b"\0"):
        raise tarfile.ReadError("more follows its end mark, as where two tar files were put together")
    return bool(block)
