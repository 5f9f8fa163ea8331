"""A text in the contour of another sound: hum it, tap it, and hear it as what the prompt says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..audio.levels import fade
from ..conditioning.contour import flagged, follow
from ..errors import UsageError
from ..options import SketchOptions
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, Engine
from .base import Result
from .generate import finished
from .source import Source, excerpt


def run(engine: Engine, draw: Draw, source: Source, options: SketchOptions) -> Result:
    """What the prompt says, as long as the sound, and as loud and bright as it moment by moment; at the model's rate,
    its peak at -1 dBFS. Nothing else of the sound is in it (after Sketch2Sound, arXiv 2412.08550).

    Raises:
        UsageError: no prompt, a sound that is silent or too long, or a model that knows no contours.
    """
    config = engine.config
    patch, steps = config.tokenizer.patch_frames, config.generator.contour_steps
    if not steps:
        raise UsageError(f"model {config.name!r} has not learned to follow sketches; use one that has")
    if draw.condition is None:
        raise UsageError("a sketch says when, not what; say with a prompt what to hear")
    source.check_whole("sketch")
    clip = excerpt(source.samples, source.rate, config)
    mel = log_mel(clip.wave, config.mel)
    columns = mel.shape[1] // patch
    everywhere = np.ones(columns, bool)
    contour = flagged(
        follow(mel[None], config.mel, patch, steps)[0], everywhere, everywhere & (not options.loudness_only)
    )
    new = engine.new_mel(replace(draw, condition=replace(draw.condition, contour=contour)), columns)
    rate = config.mel.sample_rate
    wave = engine.vocode(new.mel, draw.rng)[: round(source.seconds * rate)]
    samples, _ = finished(engine, new, fade(wave, rate), options, draw.rng)
    return Result(samples, rate, new.mel, keeps_subtype=False)
