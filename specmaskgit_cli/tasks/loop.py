"""Seamless loops: the join of a sound's end and its beginning, made anew."""

from __future__ import annotations

import numpy as np

from ..audio.filters import FADE_SECONDS
from ..options import LoopOptions
from ..synthesis.engine import Draw, Engine
from .base import Result
from .inpaint import Span, repaint
from .source import Source

JOIN_SECONDS = LoopOptions.join  # of a generated loop


def run(engine: Engine, draw: Draw, source: Source, options: LoopOptions) -> Result:
    """The sound with its last `join` seconds and its first 30 ms made anew: the end runs into the beginning."""
    samples, mel, notes = close_loop(engine, draw, source.samples, source.rate, options.join)
    return Result(samples, source.rate, mel, notes)


def close_loop(
    engine: Engine, draw: Draw, samples: np.ndarray, rate: int, join: float
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Samples [channels, n] as a loop of the same length, the mel of the part around the join, and notes for the user.

    The sound is turned so that the join lies within it, and a span around it is inpainted: all of it before the join,
    to keep the attack that many sounds begin with, but for the time in which the new blends into the old.
    """
    total = samples.shape[1]
    before = max(8, min(round(join * rate), total // 3))
    after = max(4, min(round(FADE_SECONDS * rate), total // 12))
    config = engine.config
    context = int(engine.context * config.column_samples * rate / config.mel.sample_rate)
    # What lies around the join, at most the whole sound once.
    lead = min(before + context, total // 2 + before // 2)
    follow = min(after + context, total - lead)
    turned = np.concatenate([samples[:, total - lead :], samples[:, :follow]], axis=1)
    made, mel, notes = repaint(engine, draw, turned, rate, [Span(lead - before, lead + after)])
    result = samples.copy()
    result[:, total - lead :], result[:, :follow] = made[:, :lead], made[:, lead:]
    return result, mel, notes
