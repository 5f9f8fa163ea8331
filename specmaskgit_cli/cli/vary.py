"""`smg vary`: siblings of a sound."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import GUIDANCE, STEPS, OutputOptions, VaryOptions
from . import common
from .output_files import Targets
from .run_tasks import for_each, make_sounds


def vary(
    inputs: common.Inputs,
    output: common.EditOutput = None,
    amount: Annotated[float, typer.Option("--amount", "-a", help="0 is the sound itself, vocoded; 1 is new.")] = 0.5,
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
    """Make siblings of a sound, such as ten footsteps from one.

    Example: smg vary step.wav --amount 0.4 -n 10 -o steps.wav
    """
    options = VaryOptions(
        inputs[0], amount, prompt=prompt, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, trim=trim, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    make_sounds(
        "vary", for_each(options, inputs), Targets.of_inputs(inputs, num, output, image, "varied"),
        finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play,
        as_json=as_json, quiet=quiet, label="varying",
    )  # fmt: skip
