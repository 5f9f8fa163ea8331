"""The folders and shards that --data names, and the clips in each: what training, probes and evaluations read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import SmgError
from .contents import AUDIO_SUFFIXES, Member, is_foreign
from .descriptions import describe
from .folders import read_folder
from .remarks import Remarks
from .shards import read_shard

_PACKED = (".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar")


def find_sources(data: list[Path]) -> list[Path]:
    """The shards and folders named by --data: a folder that holds .tar files stands for its shards.

    Raises:
        SmgError: nothing usable is there, or sounds lie beside shards so that some would be left out.
    """
    found: list[Path] = []
    for path in data:
        if path.is_dir():
            found += _in_folder(path)
        elif is_shard(path):
            found.append(path)
        elif path.is_file() and path.name.lower().endswith(_PACKED):
            raise SmgError(f"--data {path}: packed; unpack it, and name the folder or the .tar shard")
        else:
            raise SmgError(f"--data {path}: not a folder or a .tar shard")
    if not found:
        raise SmgError("--data names no folder and no .tar shard")
    return found


def is_shard(path: Path) -> bool:
    """Whether a source is a shard; else it is a folder of sounds."""
    return path.suffix.lower() == ".tar" and path.is_file()


def split_sources(sources: list[Path]) -> tuple[list[Path], list[Path]]:
    """(training, validation): shards named val* validate. Without any, 1 clip in 20 is held out by its key."""
    validation = [s for s in sources if is_shard(s) and s.name.startswith("val")]
    return [s for s in sources if s not in validation], validation


def iterate_clips(source: Path, remarks: Remarks | None = None) -> Iterator[tuple[str, Path | Member, dict]]:
    """Yield (key, audio, info) of one shard or folder; info has a caption, perhaps a label, both text.

    Args:
        remarks: gathers what a user should know; complete after the last clip.

    Raises:
        SmgError: a shard, a table or a text that cannot be read or is not clear.
    """
    remarks = Remarks() if remarks is None else remarks
    found = (read_shard if is_shard(source) else read_folder)(source, remarks)
    for sound, info in describe(found, remarks):
        yield sound.key, sound.audio, info


def _in_folder(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir())
    shards = [path for path in files if is_shard(path) and not path.name.startswith("._")]
    packed = [path for path in files if path.name.lower().endswith(_PACKED)]
    sound = next((p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES or is_foreign(p.name)), None)
    if shards and sound:
        raise SmgError(f"{folder} holds shards ({shards[0].name}) and sounds ({sound}); name one of them with --data")
    if packed and not sound:
        raise SmgError(f"{packed[0]} is packed, which is not read; unpack it, and name the folder or the .tar shard")
    if not shards and not sound and (deeper := next((p for p in folder.rglob("*") if is_shard(p)), None)):
        raise SmgError(f"the shards of {folder} lie in folders of it; name those with --data, such as {deeper.parent}")
    return shards or [folder]
