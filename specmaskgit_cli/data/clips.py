"""Captioned clips from a folder or WebDataset shards, decoded once into a cache of waveforms and log-mels.

A source is a folder of audio files (captions in `captions.csv` / `captions.jsonl`, a .txt or .json file beside each
clip, or else the file's own name) or one or more `.tar` shards in the WebDataset convention (`KEY.<audio>` and
`KEY.json` or `KEY.txt`). The cache has a piece for each folder or shard: flat arrays, mapped into memory, so that a
random crop costs microseconds whatever the size of the whole, and shards can be decoded side by side.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import distributed
from ..config.settings import MelConfig, to_dict
from ..errors import SmgError
from ..spectrogram.mel import log_mel

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".m4a"}
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

    def clip_wave(self, clip: Clip) -> np.ndarray:
        """Waveform of a whole clip, float32 [frames * hop]."""
        hop, wave = self.mel_config.hop_length, _map(self.pieces[clip.piece] / WAVE, np.int16)
        return wave[clip.start * hop : (clip.start + clip.frames) * hop].astype(np.float32) / 32768


@functools.lru_cache(maxsize=256)  # thousands of pieces at once would be more open files than systems allow
def _map(path: Path, dtype) -> np.ndarray:
    return np.memmap(path, dtype, "r")


class Weighted:
    """Draws places in proportion to weights in logarithmic time; `Generator.choice` takes linear."""

    def __init__(self, weights: np.ndarray):
        self.cumulative = np.cumsum(weights / weights.sum())

    def draw(self, rng: np.random.Generator) -> int:
        return min(int(self.cumulative.searchsorted(rng.random(), side="right")), len(self.cumulative) - 1)


def find_sources(data: list[Path]) -> list[Path]:
    """The shards and folders named by --data: a folder that holds .tar files stands for its shards.

    Raises:
        SmgError: nothing usable is there.
    """
    found: list[Path] = []
    for path in data:
        if path.is_dir():
            shards = sorted(path.glob("*.tar"))
            found += shards or [path]
        elif path.is_file() and path.suffix == ".tar":
            found.append(path)
        else:
            raise SmgError(f"--data {path}: not a folder or a .tar shard")
    if not found:
        raise SmgError("--data names no folder and no .tar shard")
    return found


def split_sources(sources: list[Path]) -> tuple[list[Path], list[Path]]:
    """(training, validation): shards named val* validate. Without any, 1 clip in 20 is held out by its key."""
    validation = [s for s in sources if s.suffix == ".tar" and s.name.startswith("val")]
    return [s for s in sources if s not in validation], validation


def iterate_clips(source: Path) -> Iterator[tuple[str, bytes | Path, dict]]:
    """Yield (key, audio, info) of one shard or folder; info has at least a caption."""
    if source.suffix == ".tar":
        yield from _iterate_shard(source)
    else:
        yield from _iterate_folder(source)


def _iterate_shard(path: Path):
    try:
        with tarfile.open(path) as tar:
            pending: dict[str, dict] = {}
            for member in tar:
                key, _, suffix = member.name.partition(".")
                part = pending.setdefault(key, {})
                part["." + suffix.lower()] = tar.extractfile(member).read()
                audio = next((s for s in part if s in AUDIO_SUFFIXES), None)
                if audio and (".json" in part or ".txt" in part):
                    info = json.loads(part[".json"]) if ".json" in part else {"caption": part[".txt"].decode()}
                    yield key, part[audio], info
                    del pending[key]
    except (tarfile.TarError, OSError, json.JSONDecodeError) as error:
        raise SmgError(f"{path}: not a readable shard ({error})") from None


def _iterate_folder(folder: Path):
    captions = _folder_captions(folder)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES):
        name = str(path.relative_to(folder))
        info = captions.get(name) or captions.get(path.name) or captions.get(path.stem)
        if info is None and path.with_suffix(".json").exists():
            info = json.loads(path.with_suffix(".json").read_text())
        if info is None and path.with_suffix(".txt").exists():
            info = {"caption": path.with_suffix(".txt").read_text().strip()}
        if info is None:
            info = {"caption": caption_from_name(path.stem)}
        yield name, path, info


def _folder_captions(folder: Path) -> dict[str, dict]:
    rows: list[dict] = []
    for name in ("captions.csv", "metadata.csv"):
        if (folder / name).exists():
            with open(folder / name, newline="", encoding="utf-8") as file:
                rows += list(csv.DictReader(file))
    for name in ("captions.jsonl", "metadata.jsonl"):
        if (folder / name).exists():
            rows += [json.loads(line) for line in (folder / name).read_text().splitlines() if line.strip()]
    captions = {}
    for row in rows:
        file = row.get("file") or row.get("file_name") or row.get("filename")
        if not file or not row.get("caption"):
            raise SmgError(f"{folder}: a caption row has no `file` or no `caption` column: {row}")
        captions[file] = {k: v for k, v in row.items() if k not in ("file_name", "filename")}
    return captions


def caption_from_name(stem: str) -> str:
    """ "Dog_Bark-03" -> "dog bark"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-.+]+|\d+", " ", stem)
    return " ".join(words.lower().split()) or stem


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
        SmgError: no clip could be decoded.
    """
    training, validation = split_sources(find_sources(data))
    sources = training + validation
    root = cache_root or Path(os.environ.get("SMG_CACHE") or Path.home() / ".cache" / "smg") / "clips"
    pieces = [root / _digest(source, mel) for source in sources]
    needed = MEL, INDEX, *([WAVE] if waves else [])
    mine = list(zip(sources, pieces, strict=True))[distributed.rank() :: distributed.size()]
    jobs = [(*job, mel, waves) for job in mine if not all((job[1] / name).exists() for name in needed)]
    with contextlib.ExitStack() as stack:
        run = map
        if workers > 1 and len(jobs) > 1:
            pool = ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn"))
            run = stack.enter_context(pool).map
        for (source, *_), (clips, skipped) in zip(jobs, run(_build_piece, jobs), strict=True):
            report(f"decoded {source.name}: {clips} clips" + (f"; {skipped} unreadable or silent" if skipped else ""))
    distributed.wait()
    if absent := [piece for piece in pieces if not piece.exists()]:
        raise SmgError(f"{absent[0]}: decoded by another process, not seen by this one; set SMG_CACHE to where all can")
    splits: dict[str, list[Clip]] = {"train": [], "val": []}
    for i, piece in enumerate(pieces):
        for row in json.loads((piece / INDEX).read_text())["clips"]:
            if row["info"].get("source") in hold_out:
                continue
            if validation:
                split = "val" if i >= len(training) else "train"
            else:
                split = "val" if _held_out(row["key"].partition("/")[2]) else "train"
            splits[split].append(Clip(**row, piece=i))
    if not splits["train"]:
        raise SmgError(f"no audio clip could be read from {', '.join(map(str, sources))}")
    if not splits["val"]:  # a handful of clips: validate on what there is
        splits["val"] = splits["train"]
    return ClipCache(pieces, splits["train"], mel), ClipCache(pieces, splits["val"], mel)


def _held_out(key: str) -> bool:
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 20 == 0


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


def _build_piece(job: tuple[Path, Path, MelConfig, bool]) -> tuple[int, int]:
    """Decode a source into a directory, which appears when it is complete: (clips, how many were skipped)."""
    source, directory, mel, waves = job
    building = directory.with_name(f".{directory.name}.{os.getpid()}.building")
    try:
        building.mkdir(parents=True)
        writer = _CacheWriter(building, mel, waves)
        skipped = sum(not writer.add(f"{source.stem}/{key}", *rest) for key, *rest in iterate_clips(source))
        writer.close()
        if directory.exists():  # without the waveforms
            shutil.rmtree(directory)
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return len(writer.clips), skipped


class _CacheWriter:
    def __init__(self, directory: Path, mel: MelConfig, waves: bool):
        self.directory, self.config = directory, mel
        self.clips: list[dict] = []
        self.mel = (directory / MEL).open("wb")  # noqa: SIM115 (closed by close)
        self.wave = (directory / WAVE).open("wb") if waves else None  # noqa: SIM115
        self.frames = 0

    def add(self, key: str, audio: bytes | Path, info: dict) -> bool:
        import soundfile
        import soxr

        try:
            x, rate = soundfile.read(io.BytesIO(audio) if isinstance(audio, bytes) else audio, dtype="float32")
        except (soundfile.SoundFileError, OSError):
            return False
        x = x.mean(1) if x.ndim == 2 else x
        if not len(x) or not np.isfinite(x).all() or np.abs(x).max() < 1e-4:
            return False
        x = soxr.resample(x, rate, self.config.sample_rate)
        hop = self.config.hop_length
        x = np.pad(x, (0, -len(x) % hop)) * (PEAK / max(np.abs(x).max(), 1e-4))
        if self.wave:
            self.wave.write((np.clip(x, -1, 1) * 32767).astype(np.int16).tobytes())
        m = log_mel(x, self.config).T.astype(np.float16)
        self.mel.write(np.ascontiguousarray(m).tobytes())
        caption = str(info.get("caption", "")).strip() or caption_from_name(Path(key).stem)
        label = str(info.get("label") or caption)
        rest = {k: v for k, v in info.items() if k not in ("caption", "label")}
        self.clips.append(
            {"key": key, "start": self.frames, "frames": len(m), "caption": caption, "label": label, "info": rest}
        )
        self.frames += len(m)
        return True

    def close(self) -> None:
        for file in (self.mel, self.wave):
            if file:
                file.close()
        (self.directory / INDEX).write_text(json.dumps({"clips": self.clips}))
