"""`smg continue`: a sound goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import GUIDANCE, STEPS, ContinueOptions, OutputOptions
from . import common
from .output_files import Targets
from .run_tasks import for_each, make_sounds


def continuation(
    inputs: common.Inputs,
    output: common.EditOutput = None,
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="Length of the new part.")] = 5.0,
    before: Annotated[bool, typer.Option("--before", help="Lead up to the beginning instead.")] = False,
    prompt: common.Prompt = None,
    negative: common.Negative = None,
    seed: common.Seed = None,
    num: common.Num = 1,
    steps: common.Steps = STEPS,
    guidance: common.Guidance = GUIDANCE,
    temperature: common.Temperature = 1.0,
    top_p: common.TopP = 1.0,
    order: common.Order = "confidence",
    lufs: common.Lufs = None,
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
    """Let a sound go on after its end, or begin earlier; the sound itself stays as it is.

    Example: smg continue rain.wav --seconds 20 -o longer.wav
    """
    options = ContinueOptions(
        inputs[0], seconds, before, prompt=prompt, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    make_sounds(
        "continue", for_each(options, inputs), Targets.of_inputs(inputs, num, output, image, "continued"),
        finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play,
        as_json=as_json, quiet=quiet, label="continuing",
    )  # fmt: skip
