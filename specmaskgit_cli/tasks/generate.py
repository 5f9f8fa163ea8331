"""Sounds from a text, from a sound to resemble, or from both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..audio.levels import fade, peak_gain
from ..conditioning.timeline import Timing
from ..options import GenerateOptions, NewSoundOptions
from ..synthesis.engine import Draw, Engine, NewMel, Share, rng_of
from .base import Result
from .layers import mixed
from .loop import JOIN_SECONDS, close_loop


def run(engine: Engine, draw: Draw, source: None, options: GenerateOptions) -> Result:
    """A sound exactly as long as asked for, its peak at -1 dBFS: of several candidates the one that fits best.

    A scene is a mix of such sounds.

    The ends are faded against clicks, or joined where the sound is to loop.
    """
    if len(options.layers) > 1:
        return mixed(engine, draw, options, run)
    rate, style_share = engine.config.mel.sample_rate, 1.0 if options.prompt is None else options.like_weight
    timing = Timing(options.at or (), options.envelope or ()) if options.at or options.envelope else None
    candidates, made = [], []
    for index in range(options.candidates):
        candidates.append(replace(draw.part(index, options.candidates), rng=rng_of(options.seed, index, draw.layer)))
        made.append(engine.generate(candidates[-1], options.seconds, options.variety, style_share, timing))
    best, score = 0, None
    if options.candidates > 1:
        scores = [engine.prompts.score(new.mel, draw.condition.embedding) for new in made]
        best = int(np.argmax(scores))
        score = scores[best]
    new, draw, level = made[best], candidates[best], 1.0
    wave = engine.vocode(new.mel, draw.rng)[: round(options.seconds * rate)]
    if options.loop:
        condition = engine.prompts.drawn(draw.condition, draw.rng, variety=options.variety, style_share=style_share)
        closing = replace(draw, condition=condition, progress=Share())
        level = peak_gain(wave)  # an edit goes by the level, which may be any here
        wave = close_loop(engine, closing, wave[None] * np.float32(level), rate, JOIN_SECONDS)[0][0]
    else:
        wave = fade(wave, rate)  # before the peak is sought, as it may lie where the sound fades
    samples, gain = finished(engine, new, wave, options, draw.rng)
    return Result(samples, rate, new.mel, score=score, gain=level * gain)


def finished(
    engine: Engine, new: NewMel, wave: np.ndarray, options: NewSoundOptions, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A new mono sound [n] in as many channels as asked for, float32 [channels, n], its peak at -1 dBFS, and by what it
    was scaled. The mean of two channels is the mono sound, at the level that it has alone."""
    gain = peak_gain(wave)
    wave = wave * np.float32(gain)
    if options.channels == 1:
        return wave[None], gain
    side = engine.side(new, wave, options.width, rng.spawn(1)[0], options.loops)
    if not options.loops:
        side = fade(side, engine.config.mel.sample_rate)
    return np.stack([wave + side, wave - side]), gain
