"""`smg extend`: missing high frequencies added to a sound."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import STEPS, ExtendOptions, OutputOptions
from . import common
from .output_files import Targets
from .run_tasks import for_each, make_sounds


def extend(
    inputs: common.Inputs,
    output: common.EditOutput = None,
    cutoff: Annotated[float | None, typer.Option(help="Where the sound ends in Hz; found if not given.")] = None,
    prompt: common.Prompt = None,
    negative: common.Negative = None,
    seed: common.Seed = None,
    num: common.Num = 1,
    steps: common.Steps = STEPS,
    guidance: common.Guidance = 0.0,
    temperature: common.Temperature = 0.3,
    top_p: common.TopP = 0.5,
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
    """Add the high frequencies that a sound lacks, up to the highest the model makes; what it has stays.

    Where nothing is missing, nothing is written. Example: smg extend phone.wav -o full.wav
    """
    options = ExtendOptions(
        inputs[0], cutoff, prompt=prompt, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    make_sounds(
        "extend", for_each(options, inputs), Targets.of_inputs(inputs, num, output, image, "extended"),
        finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play,
        as_json=as_json, quiet=quiet, label="extending",
    )  # fmt: skip
