"""Captioned clips of folders and shards, decoded once into a cache of waveforms and log-mels.

The cache has a piece for each folder or shard: flat arrays, mapped into memory, so that a random crop costs
microseconds whatever the size of the whole, and shards can be decoded side by side.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import distributed
from ..config.settings import MelConfig, to_dict
from ..errors import SmgError
from ..spectrogram.mel import log_mel
from .contents import Member, read_sound
from .descriptions import SEPARATOR
from .remarks import Remarks
from .sources import find_sources, iterate_clips, split_sources

PEAK = 0.9
INDEX, MEL, WAVE = "index.json", "mel.f16", "wave.i16"


@dataclass(frozen=True, slots=True)
class Clip:
    """One decoded clip: its place in the cache and what is known about it."""

    key: str
    start: int  # first frame in its piece
    frames: int
    caption: str
    label: str
    info: dict
    piece: int = 0


class ClipCache:
    """Clips of one split, read from pieces of the cache when they are asked for.

    Args:
        pieces: directories, to which the clips' `piece` is an index.
    """

    def __init__(self, pieces: list[Path], clips: list[Clip], mel: MelConfig):
        self.pieces, self.clips, self.mel_config = pieces, clips, mel

    def clip_mel(self, clip: Clip) -> np.ndarray:
        """Natural-log mel of a whole clip, float16 [frames, n_mels]."""
        mel = _map(self.pieces[clip.piece] / MEL, np.float16).reshape(-1, self.mel_config.n_mels)
        return mel[clip.start : clip.start + clip.frames]

    def mels(self) -> Mels:
        """The mels of all clips, each read when it is asked for."""
        return Mels(self)

    def clip_wave(self, clip: Clip) -> np.ndarray:
        """Waveform of a whole clip, float32 [frames * hop]."""
        hop, wave = self.mel_config.hop_length, _map(self.pieces[clip.piece] / WAVE, np.int16)
        return wave[clip.start * hop : (clip.start + clip.frames) * hop].astype(np.float32) / 32768


class Mels(Sequence):
    """The mels of a cache's clips, float16 [frames, n_mels] each."""

    def __init__(self, cache: ClipCache):
        self.cache = cache

    def __len__(self) -> int:
        return len(self.cache.clips)

    def __getitem__(self, place):
        return self.cache.clip_mel(self.cache.clips[place])


@functools.lru_cache(maxsize=256)  # thousands of pieces at once would be more open files than systems allow
def _map(path: Path, dtype) -> np.ndarray:
    return np.memmap(path, dtype, "r")


class Weighted:
    """Draws places in proportion to weights in logarithmic time; `Generator.choice` takes linear."""

    def __init__(self, weights: np.ndarray):
        self.cumulative = np.cumsum(weights / weights.sum())

    def draw(self, rng: np.random.Generator) -> int:
        return min(int(self.cumulative.searchsorted(rng.random(), side="right")), len(self.cumulative) - 1)


def cache_folder() -> Path:
    """Where decoded clips and prepared material are kept: SMG_CACHE, or ~/.cache/smg."""
    if folder := os.environ.get("SMG_CACHE"):
        return Path(folder)
    try:
        return Path.home() / ".cache" / "smg"
    except RuntimeError:
        raise SmgError("there is no home directory to keep decoded clips in; set SMG_CACHE to a directory") from None


def open_cache(
    data: list[Path], mel: MelConfig, cache_root: Path | None = None, report=print, *, waves: bool = True,
    workers: int = 0, hold_out: frozenset[str] = frozenset(),
):  # fmt: skip
    """(training ClipCache, validation ClipCache) of the data, decoding it on the first use.

    Processes that train together share the work, a shard or a folder at a time.

    Args:
        waves: whether `clip_wave` will be called; without waveforms the cache is a quarter of the size.
        workers: processes to decode with, if more than one.
        hold_out: values of `source` in the clips' JSON; such clips are in neither cache, so that a model can be
            measured on recordings of another origin than its own.

    Raises:
        SmgError: a source that cannot be read, after all others were decoded; or no clip could be decoded.
    """
    training, validation = split_sources(find_sources(data))
    sources = training + validation
    root = cache_root or cache_folder() / "clips"
    pieces = [root / _digest(source, mel) for source in sources]
    mine = list(zip(sources, pieces, strict=True))[distributed.rank() :: distributed.size()]
    jobs = [(*job, mel, waves) for job in mine if not _is_complete(job[1], waves)]
    errors: list[SmgError] = []
    with contextlib.ExitStack() as stack:
        run: Callable[..., Iterable[int | SmgError]] = map
        if workers > 1 and len(jobs) > 1:
            pool = ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn"))
            run = stack.enter_context(pool).map
        for (source, *_), made in zip(jobs, run(_build_piece, jobs), strict=True):
            if isinstance(made, SmgError):
                errors.append(made)
            else:
                report(f"decoded {source.name}: {made} clips")
    distributed.wait()
    if len(errors) > 1:
        raise SmgError(f"{len(errors)} of {len(sources)} sources cannot be read: {'; '.join(map(str, errors[:3]))}")
    if errors:
        raise errors[0]
    if absent := [piece for piece in pieces if not piece.exists()]:
        raise SmgError(f"{absent[0]}: not decoded by another process, or not seen; set SMG_CACHE to where all can see")
    remarks = []
    splits: dict[str, list[Clip]] = {"train": [], "val": []}
    for i, piece in enumerate(pieces):
        index = json.loads((piece / INDEX).read_text())
        remarks += [f"{sources[i].name}: {remark}" for remark in index.get("remarks", [])]
        for row in index["clips"]:
            if str(row["info"].get("source")) in hold_out:
                continue
            if validation:
                split = "val" if i >= len(training) else "train"
            else:
                split = "val" if _held_out(row["key"].partition("/")[2]) else "train"
            splits[split].append(Clip(**row, piece=i))
    for remark in remarks:
        report(remark)
    if not any(splits.values()):
        reason = f"; {remarks[0]}" if remarks else ""
        raise SmgError(f"no audio clip could be read from {', '.join(map(str, sources))}{reason}")
    if not splits["train"] and validation:
        raise SmgError("all clips are in shards named val*, which only validate; name others to train on")
    for split, other in (("train", "val"), ("val", "train")):  # a handful of clips: validate on what there is
        splits[split] = splits[split] or splits[other]
    return ClipCache(pieces, splits["train"], mel), ClipCache(pieces, splits["val"], mel)


def _held_out(key: str) -> bool:
    return int(hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest(), 16) % 20 == 0


def _digest(source: Path, mel: MelConfig) -> str:
    """Name of the piece of the cache that holds a shard or a folder."""
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    listing = [[p.name, p.stat().st_size, _sample_digest(p)] for p in files]
    return hashlib.sha256(json.dumps([source.stem, listing, to_dict(mel), PEAK]).encode()).hexdigest()[:16]


def _sample_digest(path: Path) -> str:
    """Of a file's first and last 64 KiB: tells shards apart without reading them whole, and outlives a copy."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(1 << 16))
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        digest.update(file.read())
    return digest.hexdigest()


def _is_complete(piece: Path, waves: bool) -> bool:
    """Whether a piece of the cache has all that is asked of it; one without any clip is tried again."""
    if not all((piece / name).exists() for name in (MEL, INDEX, *([WAVE] if waves else []))):
        return False
    return (piece / MEL).stat().st_size > 0


def _build_piece(job: tuple[Path, Path, MelConfig, bool]) -> int | SmgError:
    """Decode a source into a directory, which appears when it is complete: the number of clips, or what is wrong."""
    source, directory, mel, waves = job
    building = directory.with_name(f".{directory.name}.{os.getpid()}.building")
    remarks = Remarks()
    try:
        building.mkdir(parents=True)
        writer = _CacheWriter(building, mel, waves)
        for key, audio, info in iterate_clips(source, remarks):
            if reason := writer.add(f"{source.stem}/{key}", audio, info):
                remarks.leave_out(key, reason)
        writer.close(remarks.lines())
        if directory.exists():  # without the waveforms, or without a clip
            shutil.rmtree(directory)
        building.rename(directory)
    except SmgError as error:
        return error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return len(writer.clips)


class _CacheWriter:
    def __init__(self, directory: Path, mel: MelConfig, waves: bool):
        self.directory, self.config = directory, mel
        self.clips: list[dict] = []
        self.mel = (directory / MEL).open("wb")
        self.wave = (directory / WAVE).open("wb") if waves else None
        self.frames = 0

    def add(self, key: str, audio: Path | Member, info: dict) -> str | None:
        """Append a clip; or return why it cannot be used."""
        import soxr

        try:
            x, rate = read_sound(audio, self.config.sample_rate)
        except SmgError as error:
            return str(error)
        x = x.mean(0)
        if np.abs(x).max() < 1e-4:
            return "is silent"
        x = soxr.resample(x, rate, self.config.sample_rate)
        hop = self.config.hop_length
        x = np.pad(x, (0, -len(x) % hop)) * (PEAK / max(np.abs(x).max(), 1e-4))
        if self.wave:
            self.wave.write((np.clip(x, -1, 1) * 32767).astype(np.int16).tobytes())
        m = log_mel(x, self.config).T.astype(np.float16)
        self.mel.write(np.ascontiguousarray(m).tobytes())
        self.clips.append({"key": key, "start": self.frames, "frames": len(m)} | described(info))
        self.frames += len(m)
        return None

    def close(self, remarks: list[str]) -> None:
        for file in (self.mel, self.wave):
            if file:
                file.close()
        (self.directory / INDEX).write_text(json.dumps({"clips": self.clips, "remarks": remarks}))


def described(info: dict) -> dict:
    """Caption, label and the rest of what is known about a clip; its caption stands in where no one label is a word."""
    label = info.get("label", "")
    if SEPARATOR in label or not any(map(str.isalpha, label)):
        label = info["caption"]
    rest = {name: value for name, value in info.items() if name not in ("caption", "label")}
    return {"caption": info["caption"], "label": label, "info": rest}
