"""Scenes: sounds made apart, one for each layer of a prompt, and mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..audio.files import to_mono
from ..audio.levels import peak_gain
from ..audio.loudness import integrated_loudness
from ..options import GenerateOptions
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, Engine
from .base import Result

LEVEL_LUFS = -23.0  # of each layer before its own level; the mix is brought to its peak afterwards


def mixed(
    engine: Engine, draw: Draw, options: GenerateOptions, make: Callable[[Engine, Draw, None, GenerateOptions], Result]
) -> Result:
    """A scene of layers, equally loud or as loud as their levels say, its peak at -1 dBFS; or one of its layers.

    Args:
        make: makes a layer by itself.
    """
    layers = options.layers
    made, parts = [], []
    for index, layer in enumerate(layers):
        alone = replace(options, prompt=layer.text, stems=False, layer=None)
        condition = engine.prompts.condition(alone)
        made.append(make(engine, replace(draw.part(index, len(layers)), condition=condition, layer=index), None, alone))
        loudness = integrated_loudness(to_mono(made[-1].samples), made[-1].rate)
        decibels = layer.level_db + (LEVEL_LUFS - loudness if np.isfinite(loudness) else 0.0)
        parts.append(made[-1].samples * np.float32(10 ** (decibels / 20)))
    mix, rate = np.sum(parts, axis=0), made[0].rate
    gain = peak_gain(mix)
    stems = [
        # Without a gain of their own they keep the level that they have in the mix.
        replace(one, samples=part * np.float32(gain), gain=None, options=replace(options, stems=False, layer=number))
        for number, (one, part) in enumerate(zip(made, parts, strict=True), 1)
    ]
    if options.layer is not None:
        return stems[options.layer - 1]
    samples = mix * np.float32(gain)
    scores = [one.score for one in made if one.score is not None]
    return Result(
        samples, rate, log_mel(to_mono(samples), engine.config.mel),
        options=replace(options, stems=False), score=float(np.mean(scores)) if scores else None, gain=gain,
        stems=tuple(stems) if options.stems else (),
    )  # fmt: skip
