"""Siblings of a sound: a share of its tokens drawn anew."""

from __future__ import annotations

from dataclasses import replace

from ..options import VaryOptions
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, Engine
from .base import Result
from .levels import fitted
from .regenerate import regenerate_mel
from .source import Source, excerpt


def run(engine: Engine, draw: Draw, source: Source, options: VaryOptions) -> Result:
    """A sound of the same length, rate and level, with `amount` of its tokens drawn anew, spread at random.

    All of it is vocoded; with amount 0 that is all that happens.

    Raises:
        UsageError: the sound is silent, or too long to be held as a spectrogram.
    """
    source.check_whole("vary")
    config = engine.config
    clip = excerpt(source.samples, source.rate, config)
    mel, tokenizer = log_mel(clip.wave, config.mel), config.tokenizer
    grid = config.rows, mel.shape[1] // tokenizer.patch_frames
    chosen = draw.rng.permutation(grid[0] * grid[1]) < round(options.amount * grid[0] * grid[1])
    fresh = chosen.reshape(grid).repeat(tokenizer.patch_bands, axis=0).repeat(tokenizer.patch_frames, axis=1)
    if draw.condition is None:
        draw = replace(draw, condition=engine.prompts.of_mel(mel))
    mel = regenerate_mel(engine, draw, mel, fresh)
    samples = clip.back(engine.vocode(mel, draw.rng), draw.rng)
    samples, notes = fitted(samples, source.samples, source.rate, config.mel.f_max, clip.lows)
    return Result(samples + clip.lows, source.rate, mel, notes)
