"""`smg loop`: a sound whose end runs into its beginning."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import STEPS, LoopOptions, OutputOptions
from . import common
from .output_files import Targets
from .run_tasks import for_each, make_sounds


def loop(
    inputs: common.Inputs,
    output: common.EditOutput = None,
    join: Annotated[float, typer.Option(help="Seconds before the end to make anew.")] = 1.0,
    prompt: common.Prompt = None,
    negative: common.Negative = None,
    seed: common.Seed = None,
    num: common.Num = 1,
    steps: common.Steps = STEPS,
    guidance: common.Guidance = 0.0,
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
    """Make a seamless loop of a sound, as long as it was.

    Example: smg loop wind.wav -o loop.wav
    """
    options = LoopOptions(
        inputs[0], join, prompt=prompt, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    make_sounds(
        "loop", for_each(options, inputs), Targets.of_inputs(inputs, num, output, image, "looped"),
        finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play,
        as_json=as_json, quiet=quiet, label="looping",
    )  # fmt: skip
