"""Captioned clips from a folder or WebDataset shards, decoded once into a cache of waveforms and log-mels.

A source is a folder of audio files (captions in `captions.csv` / `captions.jsonl`, a .txt or .json file beside each
clip, or else the file's own name) or one or more `.tar` shards in the WebDataset convention (`KEY.<audio>` and
`KEY.json` or `KEY.txt`). The cache is two flat memory-mapped arrays, so that a random crop costs microseconds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.mel import log_mel
from ..config import MelConfig, to_dict
from ..errors import SmgError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".m4a"}
PEAK = 0.9


@dataclass(frozen=True)
class Clip:
    """One decoded clip: its place in the cache and what is known about it."""

    key: str
    start: int  # first frame in the cache
    frames: int
    caption: str
    label: str
    info: dict


class ClipCache:
    """Clips of one split. `mel` is float16 [frames, n_mels] (natural log), `wave` int16 [frames * hop]."""

    def __init__(self, directory: Path, mel: MelConfig):
        index = json.loads((directory / "index.json").read_text())
        self.mel_config = mel
        self.clips = [Clip(**c) for c in index["clips"]]
        self.mel = np.memmap(directory / "mel.f16", np.float16, "r").reshape(-1, mel.n_mels)
        self.wave = np.memmap(directory / "wave.i16", np.int16, "r")

    def clip_mel(self, clip: Clip) -> np.ndarray:
        """Natural-log mel of a whole clip, float16 [frames, n_mels]."""
        return self.mel[clip.start : clip.start + clip.frames]

    def clip_wave(self, clip: Clip) -> np.ndarray:
        """Waveform of a whole clip, float32 [frames * hop]."""
        hop = self.mel_config.hop_length
        return self.wave[clip.start * hop : (clip.start + clip.frames) * hop].astype(np.float32) / 32768


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


def open_cache(data: list[Path], mel: MelConfig, cache_root: Path | None = None, report=print):
    """(training ClipCache, validation ClipCache) of the data, decoding it on the first use.

    Raises:
        SmgError: no clip could be decoded.
    """
    sources = find_sources(data)
    files = [p for s in sources for p in ([s] if s.is_file() else sorted(s.rglob("*"))) if p.is_file()]
    listing = [[p.name, p.stat().st_size, _sample_digest(p)] for p in files]
    digest = hashlib.sha256(json.dumps([listing, to_dict(mel), PEAK]).encode()).hexdigest()[:16]
    root = cache_root or Path(os.environ.get("SMG_CACHE") or Path.home() / ".cache" / "smg") / "training"
    directory = root / digest
    if not (directory / "done").exists():
        _build_cache(sources, mel, directory, report)
    return ClipCache(directory / "train", mel), ClipCache(directory / "val", mel)


def _sample_digest(path: Path) -> str:
    """Of a file's first and last 64 KiB: tells shards apart without reading them whole, and outlives a copy."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(1 << 16))
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        digest.update(file.read())
    return digest.hexdigest()


def _build_cache(sources: list[Path], mel: MelConfig, directory: Path, report) -> None:
    training, validation = split_sources(sources)
    writers = {split: _CacheWriter(directory / split, mel) for split in ("train", "val")}
    skipped = 0
    for source in training + validation:
        for key, audio, info in iterate_clips(source):
            if validation:
                split = "val" if source in validation else "train"
            else:
                split = "val" if int(hashlib.sha256(key.encode()).hexdigest(), 16) % 20 == 0 else "train"
            skipped += not writers[split].add(f"{source.stem}/{key}", audio, info)
        report(f"decoded {source.name}: {sum(len(w.clips) for w in writers.values())} clips so far")
    if not writers["train"].clips:
        raise SmgError(f"no audio clip could be read from {', '.join(map(str, sources))}")
    if not writers["val"].clips:  # a handful of clips: validate on what there is
        writers["val"].clips = writers["train"].clips
        writers["val"].copy_from(writers["train"])
    for writer in writers.values():
        writer.close()
    if skipped:
        report(f"skipped {skipped} clips that could not be read or are silent")
    (directory / "done").touch()


class _CacheWriter:
    def __init__(self, directory: Path, mel: MelConfig):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.config = directory, mel
        self.clips: list[dict] = []
        self.mel = (directory / "mel.f16").open("wb")  # noqa: SIM115 (closed by close)
        self.wave = (directory / "wave.i16").open("wb")  # noqa: SIM115
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

    def copy_from(self, other: _CacheWriter) -> None:
        for name in ("mel", "wave"):
            getattr(other, name).flush()
            getattr(self, name).write(Path(getattr(other, name).name).read_bytes())

    def close(self) -> None:
        self.mel.close(), self.wave.close()
        (self.directory / "index.json").write_text(json.dumps({"clips": self.clips}))
