"""Sounds from a text, from a sound to resemble, or from both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..audio.levels import fade, normalize_peak, peak_gain
from ..conditioning.timeline import Timing
from ..options import GenerateOptions
from ..synthesis.engine import Draw, Engine, Share, rng_of
from .base import Result
from .layers import mixed
from .loop import JOIN_SECONDS, close_loop


def run(engine: Engine, draw: Draw, source: None, options: GenerateOptions) -> Result:
    """A sound exactly as long as asked for, mono, its peak at -1 dBFS: of several candidates the one that fits best.

    A scene is a mix of such sounds.

    The ends are faded against clicks, or joined where the sound is to loop.
    """
    if len(options.layers) > 1:
        return mixed(engine, draw, options, run)
    rate, style_share = engine.config.mel.sample_rate, 1.0 if options.prompt is None else options.like_weight
    timing = Timing(options.at or (), options.envelope or ()) if options.at or options.envelope else None
    candidates, mels = [], []
    for index in range(options.candidates):
        candidates.append(replace(draw.part(index, options.candidates), rng=rng_of(options.seed, index, draw.layer)))
        mels.append(engine.generate(candidates[-1], options.seconds, options.variety, style_share, timing))
    best, score = 0, None
    if options.candidates > 1:
        scores = [engine.prompts.score(mel, draw.condition.embedding) for mel in mels]
        best = int(np.argmax(scores))
        score = scores[best]
    mel, draw = mels[best], candidates[best]
    samples = engine.vocode(mel, draw.rng)[None, : round(options.seconds * rate)]
    if not options.loop:
        samples = fade(samples, rate)  # first, as the peak may lie where the sound fades
        return Result(normalize_peak(samples), rate, mel, score=score, gain=peak_gain(samples))
    condition = engine.prompts.drawn(draw.condition, draw.rng, variety=options.variety, style_share=style_share)
    closing = replace(draw, condition=condition, progress=Share())
    gain = peak_gain(samples)  # an edit goes by the level, which may be any here
    closed = close_loop(engine, closing, samples * np.float32(gain), rate, JOIN_SECONDS)[0]
    return Result(normalize_peak(closed), rate, mel, score=score, gain=gain * peak_gain(closed))
