"""Sounds from a text, from a sound to resemble, or from both."""

from __future__ import annotations

import numpy as np

from ..audio.levels import fade, normalize_peak, peak_gain
from ..options import GenerateOptions
from .base import Result
from .loop import JOIN_SECONDS, close_loop
from .regenerate import Request


def run(request: Request, source: None, options: GenerateOptions) -> Result:
    """A sound exactly as long as asked for, [n], its peak at -1 dBFS: of several candidates the one that fits best.

    The ends are faded against clicks, or joined where the sound is to loop.
    """
    pipe, rate = request.pipe, request.pipe.config.mel.sample_rate
    drawn = []
    for candidate in range(options.candidates):
        rng = np.random.default_rng([options.seed, candidate])
        drawn.append((pipe.draw(request.part(candidate, options.candidates), options, rng), rng))
    scores = [pipe.conditions.score(mel, request.condition) for mel, _ in drawn] if options.candidates > 1 else [None]
    best = int(np.argmax(scores)) if options.candidates > 1 else 0
    mel, rng = drawn[best]
    samples = pipe.vocode(mel, rng)[: round(options.seconds * rate)]
    if options.loop:
        closing = Request.of(pipe, options, options.seed)
        samples = close_loop(closing, samples[:, None], rate, JOIN_SECONDS)[0][:, 0]
    level = normalize_peak(samples)
    made = level if options.loop else fade(level, rate)
    return Result(made, rate, mel, score=scores[best], gain=peak_gain(samples))
