"""Canvases drawn beforehand, by all cores, with what describes them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..conditioning.contour import follow, to_bytes
from ..conditioning.style import describe
from ..config.settings import CheckpointConfig
from .canvas import CanvasMaker
from .clips import ClipCache

CHUNK = 64  # canvases that a worker draws at a time


@dataclass(frozen=True)
class Canvases:
    """Some canvases of one length, before they are encoded.

    Attributes:
        mel: float16 [n, n_mels, frames], natural log.
        statistics: float32 [n, STATISTICS, n_mels], from which styles are projected.
        contours: uint8 [n, columns, 2 * contour_steps].
        clips: int64 [n], places in the cache of the clips whose captions they have.
    """

    mel: np.ndarray
    statistics: np.ndarray
    contours: np.ndarray
    clips: np.ndarray


def draw_canvases(
    clips: ClipCache, config: CheckpointConfig, count: int, columns: int, seed: int = 0, workers: int = 1
) -> Iterator[Canvases]:
    """Draw `count` canvases of so many token columns, a chunk at a time; canvas i depends on (seed, columns, i) alone.

    Args:
        workers: processes to draw with; 1 draws in this one.
    """
    jobs = [(seed, columns, start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    if workers <= 1:
        _begin(clips, config)
        yield from map(_draw, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (clips, config)) as pool:
        yield from pool.map(_draw, jobs)


_drawing: tuple[CanvasMaker, CheckpointConfig, dict[int, int]] | None = None


def _begin(clips: ClipCache, config: CheckpointConfig) -> None:
    """Prepare this process to draw: arranging needs the clips' siblings and weights, which take long to send."""
    global _drawing
    places = {id(clip): place for place, clip in enumerate(clips.clips)}
    _drawing = CanvasMaker(clips, config.mel), config, places


def _draw(job: tuple[int, int, int, int]) -> Canvases:
    maker, config, places = _drawing
    seed, columns, start, stop = job
    mels, clips = [], []
    for index in range(start, stop):
        canvas, clip = maker.draw(
            np.random.default_rng([seed, columns, index]), columns * config.tokenizer.patch_frames
        )
        mels.append(canvas.T)
        clips.append(places[id(clip)])
    mel, steps = np.stack(mels), config.generator.contour_steps
    empty = np.zeros((len(mel), columns, 0), np.uint8)
    contours = to_bytes(follow(mel, config.mel, config.tokenizer.patch_frames, steps)) if steps else empty
    statistics = np.concatenate([describe(one[None], config.mel) for one in mel])
    return Canvases(mel.astype(np.float16), statistics.astype(np.float32), contours, np.array(clips))
