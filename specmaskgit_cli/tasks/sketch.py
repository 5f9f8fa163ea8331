"""A text in the contour of another sound: hum it, tap it, and hear it as what the prompt says."""

from __future__ import annotations

import numpy as np

from ..audio.levels import fade, normalize_peak
from ..conditioning.bank import Manner
from ..conditioning.contour import flagged, follow
from ..errors import UsageError
from ..options import SketchOptions
from ..spectrogram.mel import log_mel
from ..synthesis.render import mel_to_waveform
from .base import Result
from .regenerate import Request
from .source import Source, excerpt


def run(request: Request, source: Source, options: SketchOptions) -> Result:
    """What the prompt says, as long as the sound, and as loud and bright as it moment by moment; mono, at the model's
    rate, its peak at -1 dBFS. Nothing else of the sound is in it (after Sketch2Sound, arXiv 2412.08550).

    Raises:
        UsageError: no prompt, a sound that is silent or too long, or a model that cannot be told contours.
    """
    config = request.pipe.config
    patch, steps = config.tokenizer.patch_frames, config.generator.contour_steps
    if not steps:
        raise UsageError(f"model {config.name!r} has not learned to follow sketches; use one that has")
    if request.condition is None:
        raise UsageError("a sketch says when, not what; say with a prompt what to hear")
    source.check_whole("sketch")
    heard = excerpt(source.samples, source.rate, config)
    mel = log_mel(heard.wave, config.mel)
    told = np.ones(mel.shape[1] // patch, bool)
    contour = flagged(follow(mel[None], config.mel, patch, steps)[0], told, told & (not options.loudness_only))
    mel = request.pipe.new_mel(
        len(told), request.condition, request.negative, request.settings, request.rng,
        request.pipe.count(request.progress, len(told)), Manner(request.style, contour),
    )  # fmt: skip
    rate = config.mel.sample_rate
    wave = mel_to_waveform(request.pipe.runtime, mel, request.rng)[: round(source.seconds * rate)]
    return Result(fade(normalize_peak(wave), rate)[:, None], rate, mel, keeps_subtype=False)
