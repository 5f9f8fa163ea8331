"""Data sets made small for a journey: clips as Opus in a few shards, and the embeddings of their captions."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..durable import usual_rights
from ..errors import SmgError
from .captions import paraphrases
from .clips import described
from .contents import read_sound
from .sources import find_sources, iterate_clips, split_sources

RATE = 48000  # Hz, of Opus
LOWEST, HIGHEST = 6, 256  # kbit/s of a channel at the ends of libsndfile's scale of compression
TEXTS = "texts.safetensors"


def write_bundle(
    data: list[Path], folder: Path, megabytes: float, embed_text: Callable[[list[str]], np.ndarray],
    kilobits: int | None = 24, hold_out: frozenset[str] = frozenset(), report: Callable[[str], None] = print,
) -> list[Path]:  # fmt: skip
    """Write all clips as mono Opus into shards of at most so many megabytes, and texts.safetensors.

    Shards whose names begin with "val" stay apart from the others, so that the split is the same.

    Args:
        embed_text: texts -> float32 [n, D].
        kilobits: a second; None copies clips that are Opus files already and encodes others at 24.
        hold_out: values of `source` in the clips' JSON, which are left out.

    Returns:
        the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources, texts = find_sources(data), {}
    files = []
    for split, chosen in zip(("train", "val"), split_sources(sources), strict=True):
        writer = _Shards(folder, split, int(megabytes * 1e6))
        for number, (audio, info) in enumerate(_small(chosen, kilobits, hold_out)):
            for words in paraphrases(info["caption"], info["label"]):
                texts.setdefault(words)
            writer.add(f"{number:06d}", audio, info)
        files += writer.close()
        report(f"{split}: {writer.clips} clips in {len(writer.files)} shards")
    files.append(write_texts(list(texts), embed_text, folder / TEXTS))
    return files


def write_texts(texts: list[str], embed_text: Callable[[list[str]], np.ndarray], path: Path) -> Path:
    """Write the embeddings of texts, for `PackedTexts`."""
    from safetensors.numpy import save_file

    save_file({"embeddings": embed_text(texts).astype(np.float16)}, path, {"texts": json.dumps(texts)})
    usual_rights(path)
    return path


class PackedTexts:
    """Looks up embeddings of texts that were computed before, in place of a text encoder.

    Attributes:
        dim: of the embeddings.
    """

    def __init__(self, path: Path):
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            texts, self.embeddings = json.loads(file.metadata()["texts"]), file.get_tensor("embeddings")
        self.places = {text: place for place, text in enumerate(texts)}
        self.dim = self.embeddings.shape[1]

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Float32 [n, dim]. Raises SmgError for a text that was not packed."""
        if unknown := next((text for text in texts if text not in self.places), None):
            raise SmgError(f"{unknown!r} is not among the packed texts; bundle the data again")
        return self.embeddings[[self.places[text] for text in texts]].astype(np.float32)


def _small(sources: list[Path], kilobits: int | None, hold_out: frozenset[str]) -> Iterator[tuple[bytes, dict]]:
    """(Opus file, what is known) of each clip that can be read."""
    import soundfile
    import soxr

    level = 1 - ((kilobits or 24) - LOWEST) / (HIGHEST - LOWEST)
    for source in sources:
        for _, audio, info in iterate_clips(source):
            if str(info.get("source")) in hold_out:
                continue
            about = described(info)
            about.pop("info")
            data = audio.read_bytes()
            if kilobits is None and b"OpusHead" in data[:64]:
                yield data, about
                continue
            try:
                x, rate = read_sound(audio, RATE)
            except SmgError:
                continue
            small = io.BytesIO()
            x = soxr.resample(x.mean(0), rate, RATE)
            soundfile.write(small, x, RATE, format="OGG", subtype="OPUS", compression_level=level)
            yield small.getvalue(), about


class _Shards:
    """Writes tar shards of a size: NAME-0000.tar, NAME-0001.tar, ..."""

    def __init__(self, folder: Path, name: str, size: int):
        self.folder, self.name, self.size = folder, name, size
        self.files: list[Path] = []
        self.clips, self.room, self.tar = 0, 0, None

    def add(self, key: str, audio: bytes, info: dict) -> None:
        files = {f"{key}.opus": audio, f"{key}.json": json.dumps(info).encode()}
        needed = sum(512 + -(-len(data) // 512) * 512 for data in files.values())
        if self.tar is None or needed > self.room:
            self._next()
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            self.tar.addfile(member, io.BytesIO(data))
        self.room -= needed
        self.clips += 1

    def close(self) -> list[Path]:
        if self.tar:
            self.tar.close()
        return self.files

    def _next(self) -> None:
        self.close()
        self.files.append(self.folder / f"{self.name}-{len(self.files):04d}.tar")
        self.tar, self.room = tarfile.open(self.files[-1], "w"), self.size - 20_480  # noqa: SIM115
