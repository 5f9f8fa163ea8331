"""Labelled clips, for the linear probe: a folder a label, a CSV file, or WebDataset shards."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import read_mono, resample, to_mono
from ..audio.samples import decode
from ..errors import SmgError
from .clips import AUDIO_SUFFIXES, find_sources, iterate_clips

FILE_COLUMNS = ("file", "filename", "file_name", "mp3_path")
LABEL_COLUMNS = ("label", "labels", "category", "tags")
SEPARATOR = "|"


@dataclass(frozen=True)
class LabelledClip:
    """`audio` is a path or an encoded file; `fold` names the part of the data that a clip belongs to, if it has one."""

    key: str
    audio: Path | bytes
    labels: tuple[str, ...]
    fold: str | None = None


def read_labelled(
    data: Path, table: Path | None = None, fold: str = "fold", where: dict[str, str] | None = None
) -> list[LabelledClip]:
    """The labelled clips of a folder or of shards.

    Args:
        data: a folder with a sub-folder for each label, or that the files of `table` lie in; or shards, whose clips'
            JSON has a `label`.
        table: CSV file with the columns file and label; labels of one clip are separated by "|". Rows without a label
            are left out.
        fold: column or JSON field with the fold; of a value that begins with digits, those count.
        where: fields and the values that they must have.

    Raises:
        SmgError: no such data, a table without the columns, a file of it that is missing, or nothing found.
    """
    if table is not None:
        rows = _from_table(data, table)
    elif data.is_dir() and not any(data.glob("*.tar")):
        rows = _from_folders(data)
    else:
        rows = ((key, audio, info) for source in find_sources([data]) for key, audio, info in iterate_clips(source))
    clips = []
    for key, audio, info in rows:
        labels = tuple(part.strip() for part in str(info.get("label") or "").split(SEPARATOR) if part.strip())
        if labels and all(str(info.get(name)) == value for name, value in (where or {}).items()):
            clips.append(LabelledClip(key, audio, labels, _fold(info.get(fold))))
    if not clips:
        raise SmgError(f"{table or data}: no labelled clip; give a sub-folder a label, a CSV file or shards")
    return clips


def read_wave(clip: LabelledClip, rate: int) -> np.ndarray:
    """A clip as mono at `rate`, float32 [n]. Raises SmgError where it cannot be read."""
    if isinstance(clip.audio, Path):
        return read_mono(clip.audio, rate)
    try:
        samples, own = decode(clip.audio, rate, clip.key)
    except SmgError as error:
        raise SmgError(f"{error}; leave it out of the shard") from None
    return resample(to_mono(samples), own, rate)


def _from_folders(folder: Path):
    for path in sorted(p for p in folder.glob("*/**/*") if p.suffix.lower() in AUDIO_SUFFIXES):
        name = path.relative_to(folder)
        yield str(name), path, {"label": name.parts[0]}


def _from_table(folder: Path, table: Path):
    if not table.is_file():
        raise SmgError(f"{table}: no such file; name a CSV file with the columns file and label")
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        name = next((c for c in FILE_COLUMNS if c in columns), None)
        label = next((c for c in LABEL_COLUMNS if c in columns), None)
        if name is None or label is None:
            raise SmgError(f"{table}: no `file` or no `label` among its columns {', '.join(columns)}")
        for row in reader:
            path = folder / row[name]
            if not path.is_file():
                raise SmgError(f"{path}: named in {table}, but there is no such file")
            yield row[name], path, row | {"label": row[label]}


def _fold(value) -> str | None:
    text = "" if value is None else str(value).strip()
    number = re.match(r"\d+", text)
    return number[0] if number else text or None
