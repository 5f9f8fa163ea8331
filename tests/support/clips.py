"""Sounds, folders and shards as people make them, for the tests of what reads training data."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


def sound(seconds: float = 0.3, seed: int = 0, rate: int = RATE, format: str = "WAV", peak: float = 0.5) -> bytes:
    """An encoded file of noise."""
    x = peak * np.random.default_rng(seed).uniform(-1, 1, round(seconds * rate))
    file = io.BytesIO()
    soundfile.write(file, x, rate, format=format)
    return file.getvalue()


SOUND = sound()


def folder(path: Path, files: dict[str, bytes | str]) -> Path:
    """A folder with files by name; None stands for a sound."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        content = SOUND if content is None else content
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shard(path: Path, members: list, **options) -> Path:
    """A tar file of (name, content) or TarInfo; None stands for a sound, a dictionary for JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            content = SOUND if content is None else content
            content = json.dumps(content) if isinstance(content, (dict, list)) else content
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def entry(name: str, type: bytes, target: str = "") -> tarfile.TarInfo:
    """A member of a shard that is no file."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = type, target
    return made
