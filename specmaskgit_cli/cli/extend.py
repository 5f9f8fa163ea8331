"""`smg extend`: missing high frequencies added to a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import ExtendOptions, OutputOptions
from . import common


def extend(
    input: common.Input,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="File to write; IN.extended.wav if not given.")
    ] = None,
    cutoff: Annotated[float | None, typer.Option(help="Where the sound ends in Hz; found if not given.")] = None,
    prompt: common.Prompt = None,
    negative: common.Negative = None,
    seed: common.Seed = None,
    num: common.Num = 1,
    steps: common.Steps = 16,
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
    """Add the high frequencies that a sound lacks, up to the highest the model makes; what it has stays.

    Where nothing is missing, nothing is written. Example: smg extend phone.wav -o full.wav
    """
    output = output or str(Path(input).with_suffix(".extended.wav"))
    options = ExtendOptions(
        input, cutoff, prompt=prompt, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    common.make_sounds(
        options, output, finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads,
        image=image, play=play, as_json=as_json, quiet=quiet, label="extending",
        nothing=f"{input} already has what the model could add; nothing was written",
    )  # fmt: skip
