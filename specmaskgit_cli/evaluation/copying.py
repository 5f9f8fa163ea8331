"""Does a model copy what it was trained on? The training clip nearest to each sound, by ear and by spectrogram."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..config.settings import MelConfig
from ..data.clips import ClipCache
from ..spectrogram.mel import log_mel
from .clips import arrange
from .embedders import OwnEmbedder

CANDIDATES = 5  # nearest by embedding, whose spectrograms are compared
EXCERPT_SECONDS = 1.0  # the loudest of a training clip, looked for anywhere in a sound of twice that or more
ACTIVE = -6.5  # nats: cells where both are quieter than this say nothing
SUSPICIOUS = 0.05  # share of real sounds that lie as near to a training clip as what is called suspicious


@dataclass(frozen=True)
class Nearest:
    """The training clip nearest to a sound: its key, the greatest cosine, and the least spectrogram distance."""

    key: str
    cosine: float
    distance: float


class TrainingClips:
    """The clips a model was trained on, as points of its embedding and as spectrograms."""

    def __init__(
        self, cache: ClipCache, seconds: float, embedder: OwnEmbedder, report: Callable[[], None] = lambda: None
    ):
        self.cache, self.config = cache, cache.mel_config
        embeddings = []
        for clip in cache.clips:
            wave = arrange(cache.clip_wave(clip), seconds, self.config)
            embeddings.append(embedder.embed(wave, self.config.sample_rate))
            report()
        self.embeddings = np.stack(embeddings)
        self.labels = [clip.label.replace("_", " ").strip() for clip in cache.clips]

    def nearest(self, wave: np.ndarray, embedding: np.ndarray) -> Nearest:
        """The training clip nearest to a waveform [n] with its embedding [D]."""
        cosines = self.embeddings @ embedding
        order = np.argsort(-cosines)[:CANDIDATES]
        mel = log_mel(wave, self.config)
        distances = [
            spectrogram_distance(mel, self._excerpt(index, max(1, mel.shape[1] // 2)), self.config) for index in order
        ]
        best = int(np.argmin(distances))
        return Nearest(self.cache.clips[order[best]].key, float(cosines[order[0]]), distances[best])

    def _excerpt(self, index: int, longest: int) -> np.ndarray:
        """The loudest part of a clip [n_mels, at most `longest` frames]."""
        mel = self.cache.clip_mel(self.cache.clips[index]).astype(np.float32).T
        size = min(longest, round(EXCERPT_SECONDS * self.config.frames_per_second))
        if mel.shape[1] <= size:
            return mel
        level = np.concatenate([[0.0], np.cumsum(np.exp(2 * mel).sum(axis=0, dtype=np.float64))])
        start = int(np.argmax(level[size:] - level[:-size]))
        return mel[:, start : start + size]


def spectrogram_distance(mel: np.ndarray, excerpt: np.ndarray, cfg: MelConfig) -> float:
    """Mean difference in nats between an excerpt [n_mels, m] and where a mel [n_mels, frames], not a shorter one, is
    most like it, over the cells that are active in either; 0 for a literal copy."""
    excerpt = np.maximum(excerpt, cfg.scale_min)
    mel = np.maximum(mel, cfg.scale_min)
    places = np.lib.stride_tricks.sliding_window_view(mel, excerpt.shape[1], axis=1).swapaxes(0, 1)
    active = np.maximum(places, excerpt) > ACTIVE
    counts = active.sum(axis=(1, 2))
    sums = np.where(active, np.abs(places - excerpt), 0).sum(axis=(1, 2))
    # Without a cell to compare by, nothing is known: as far apart as can be.
    return float(np.where(counts, sums / np.maximum(counts, 1), cfg.scale_max - cfg.scale_min).min())


def summarise(groups: dict[str, list[Nearest]]) -> dict[str, dict[str, float]]:
    """Mean cosine, median distance, and share of suspiciously near sounds of each group; by those of "real"."""
    threshold = float(np.quantile([found.distance for found in groups["real"]], SUSPICIOUS))
    out = {"threshold": {"distance": threshold}}
    for name, nearest in groups.items():
        distances = np.array([found.distance for found in nearest])
        out[name] = {
            "cosine": float(np.mean([found.cosine for found in nearest])),
            "distance": float(np.median(distances)),
            "suspicious": float((distances <= threshold).mean()),
        }
    return out
