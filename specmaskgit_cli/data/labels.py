"""Labelled clips, for the linear probe: a folder a label, a table, or WebDataset shards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import resample, to_mono
from ..errors import SmgError
from .contents import Member, plain_name, read_sound
from .descriptions import SEPARATOR, label_of
from .folders import read_folder
from .remarks import Remarks
from .sources import find_sources, is_shard, iterate_clips
from .tables import FILE_COLUMNS, column_name, find_column, read_table

LABEL_COLUMNS = ("label", "labels", "category", "tags")


@dataclass(frozen=True)
class LabelledClip:
    """`audio` is a path or in a shard; `fold` names the part of the data that a clip belongs to, if it has one."""

    key: str
    audio: Path | Member
    labels: tuple[str, ...]
    fold: str | None = None


def read_labelled(
    data: Path, table: Path | None = None, fold: str = "fold", where: dict[str, str] | None = None,
    remarks: Remarks | None = None,
) -> list[LabelledClip]:  # fmt: skip
    """The labelled clips of a folder or of shards.

    Args:
        data: a folder with a sub-folder for each label, or that the files of `table` lie in; or shards, whose clips'
            JSON has a `label`.
        table: CSV or JSON Lines with the columns file and label; labels of one clip are separated by "|", or a list.
            Rows without a label are left out.
        fold: column or JSON field with the fold; of a value that begins with digits, those count.
        where: fields and the values that they must have.
        remarks: gathers what a user should know about the data.

    Raises:
        SmgError: no such data, a table without the columns, a file of it that is missing, or nothing found.
    """
    remarks = Remarks() if remarks is None else remarks
    if table is not None:
        rows = _from_table(data, table)
    elif data.is_dir() and not any(map(is_shard, data.iterdir())):
        rows = _from_folders(data, remarks)
    else:
        rows = (clip for source in find_sources([data]) for clip in iterate_clips(source, remarks))
    clips = []
    for key, audio, info in rows:
        labels = tuple(part.strip() for part in info.get("label", "").split(SEPARATOR) if part.strip())
        if labels and all(str(_field(info, name)) == value for name, value in (where or {}).items()):
            clips.append(LabelledClip(key, audio, labels, _fold(_field(info, fold))))
    if not clips:
        raise SmgError(f"{table or data}: no labelled clip; give a sub-folder a label, a CSV file or shards")
    return clips


def read_wave(clip: LabelledClip, rate: int) -> np.ndarray:
    """A clip as mono at `rate`, float32 [n]. Raises SmgError where it cannot be read."""
    try:
        samples, own = read_sound(clip.audio, rate)
    except SmgError as error:
        raise SmgError(f"{clip.audio}: {error}; or leave it out") from None
    return resample(to_mono(samples), own, rate)


def _from_folders(folder: Path, remarks: Remarks):
    for sound in read_folder(folder, remarks).sounds:
        label, *deeper = sound.name.split("/")
        if deeper:
            yield sound.key, sound.audio, {"label": label}


def _from_table(folder: Path, table: Path):
    rows = read_table(table)
    name, label = (find_column(rows, columns, table) for columns in (FILE_COLUMNS, LABEL_COLUMNS))
    for row in rows:
        file = row.cells.get(name)
        if not isinstance(file, str):
            raise SmgError(f"{row.place}: column {name} names no file; fill in the cell")
        written = folder / file.strip()
        path = written if written.is_file() else folder / plain_name(file.strip())
        if not path.is_file():
            raise SmgError(f"{row.place}: there is no file {written}")
        yield file.strip(), path, row.cells | {"label": label_of(row.cells.get(label), f"{row.place}: {label}")}


def _field(info: dict, name: str) -> object:
    """A field by its name as it was written; those of tables are in small letters."""
    return info.get(name, info.get(column_name(name)))


def _fold(value) -> str | None:
    text = "" if value is None else str(value).strip()
    number = re.match(r"\d+", text)
    return number[0] if number else text or None
