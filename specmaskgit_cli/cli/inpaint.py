"""`smg inpaint`: parts of a sound made anew."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from ..options import STEPS, Box, InpaintOptions, OutputOptions
from . import common
from .output_files import Targets
from .run_tasks import for_each, make_sounds


def inpaint(
    inputs: common.Inputs,
    output: common.EditOutput = None,
    start: Annotated[float | None, typer.Option(help="Where the part begins, in seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="Where it ends, in seconds.")] = None,
    low: Annotated[float | None, typer.Option(help="Its lowest frequency in Hz; all if not given.")] = None,
    high: Annotated[float | None, typer.Option(help="Its highest frequency in Hz; all if not given.")] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="START:END[:LOW:HIGH]", help="A part in one word. Repeatable.")
    ] = None,
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
    """Make a span of time, a band of frequencies, or a box of both anew; the rest stays as it is.

    Example: smg inpaint in.wav --start 1.2 --end 1.6 -o out.wav
    """
    boxes = [Box.parse(text, "--box") for text in box or []]
    if start is not None or end is not None:
        boxes.insert(0, Box(start or 0.0, end, low, high))
    elif low is not None or high is not None:
        raise UsageError("--low and --high need --start and --end; give the span of time too")
    options = InpaintOptions(
        inputs[0], tuple(boxes), prompt=prompt, negative=negative, seed=seed, num=num, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    finish = OutputOptions(lufs=lufs, bits=bits, rate=rate, channels=channels, metadata=not no_metadata)
    make_sounds(
        "inpaint", for_each(options, inputs), Targets.of_inputs(inputs, num, output, image, "inpainted"),
        finish=finish, model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play,
        as_json=as_json, quiet=quiet, label="inpainting",
    )  # fmt: skip
