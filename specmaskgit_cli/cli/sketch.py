"""`smg sketch`: a text in the contour of another sound."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import GUIDANCE, STEPS, OutputOptions, SketchOptions
from . import common
from .output_files import Targets
from .run_tasks import for_each, make_sounds


def sketch(
    inputs: common.Inputs,
    output: common.EditOutput = None,
    prompt: Annotated[str | None, typer.Option(help="What to hear.", show_default=False)] = None,
    loudness_only: Annotated[
        bool, typer.Option("--loudness-only", help="Follow when it is loud, not when it is bright: for taps and claps.")
    ] = False,
    negative: common.Negative = None,
    seed: common.Seed = None,
    num: common.Num = 1,
    steps: common.Steps = STEPS,
    guidance: common.Guidance = GUIDANCE,
    temperature: common.Temperature = 1.0,
    top_p: common.TopP = 1.0,
    order: common.Order = "confidence",
    lufs: common.Lufs = None,
    trim: common.Trim = False,
    bits: common.Bits = None,
    rate: common.Rate = None,
    channels: common.Channels = None,
    no_metadata: common.NoMetadata = False,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    image: common.Image = None,
    play: common.Play = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Make what a text says in the contour of a sound: hum it, or tap it on a table.

    The result is as long as the sketch and as loud and bright, moment by moment; nothing else of the sketch is heard.

    Example: smg sketch taps.wav --prompt "dog barking" -o barks.wav
    """
    options = SketchOptions(
        inputs[0], prompt=prompt, loudness_only=loudness_only, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, trim=trim, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    make_sounds(
        "sketch", for_each(options, inputs), Targets.of_inputs(inputs, num, output, image, "sketched"),
        finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play,
        as_json=as_json, quiet=quiet, label="sketching",
    )  # fmt: skip
