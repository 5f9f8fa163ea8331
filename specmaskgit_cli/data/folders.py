"""Folders of sounds, with sub-folders: each sound with the .json and .txt of the same name, and tables of captions."""

from __future__ import annotations

from pathlib import Path

from ..audio.foreign import advice, kind_of
from .contents import AUDIO_SUFFIXES, TABLES, Contents, Sound, is_copy_of_finder, is_foreign
from .remarks import Remarks


def read_folder(folder: Path, remarks: Remarks) -> Contents:
    """What lies in a folder; sounds in the order of their paths."""
    found = Contents()
    for path in sorted(folder.rglob("*")):
        kind = path.suffix.lower()
        table = path.name.lower() in TABLES
        if not (table or kind in AUDIO_SUFFIXES or is_foreign(path.name)) or is_copy_of_finder(path.name):
            continue
        if not path.is_file():  # a pipe would be waited for
            continue
        name = path.relative_to(folder)
        if table:
            found.tables.append(("" if name.parent == Path() else name.parent.as_posix(), path))
        elif kind in AUDIO_SUFFIXES:
            beside = (path.with_suffix(".json"), path.with_suffix(".txt"))
            found.sounds.append(Sound(str(name), name.as_posix(), path, *(p if p.is_file() else None for p in beside)))
        else:
            remarks.leave_out(str(name), advice(kind_of(name)))
    return found
