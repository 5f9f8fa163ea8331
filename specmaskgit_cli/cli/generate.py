"""`smg generate`: a prompt to sound files."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from ..errors import UsageError
from ..options import GUIDANCE, STEPS, VARIETY, GenerateOptions, OutputOptions
from . import common
from .output_files import Targets
from .run_tasks import make_sounds

STDIN = "-"


def generate(
    output: common.Output,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="What to hear; - reads a prompt a line from stdin.", show_default=False),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="Length of the sound.")] = 10.0,
    seed: common.Seed = None,
    num: common.Num = 1,
    steps: common.Steps = STEPS,
    guidance: common.Guidance = GUIDANCE,
    temperature: common.Temperature = 1.0,
    top_p: common.TopP = 1.0,
    order: common.Order = "confidence",
    negative: common.Negative = None,
    like: Annotated[str | None, typer.Option(metavar="FILE", help="A sound to resemble.")] = None,
    like_weight: Annotated[float, typer.Option(help="Share of --like when there is a prompt too.")] = 0.5,
    candidates: Annotated[int, typer.Option(help="Sounds to make for each one kept, the best match.")] = 1,
    variety: Annotated[
        float, typer.Option(help="How much sounds of a prompt differ: 0, the most typical, to 1, as known sounds do.")
    ] = VARIETY,
    loop: Annotated[bool, typer.Option("--loop", help="Make the end run into the beginning.")] = False,
    lufs: common.Lufs = None,
    no_normalize: common.NoNormalize = False,
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
    """Make a sound from a text.

    Example: smg generate "dog barking" -o out.wav
    """
    options = GenerateOptions(
        prompt=prompt, seconds=seconds, seed=seed, num=num, steps=steps, guidance=guidance, temperature=temperature,
        top_p=top_p, order=order, negative=negative, like=like, like_weight=like_weight, candidates=candidates,
        loop=loop, variety=variety,
    )  # fmt: skip
    finish = OutputOptions(
        lufs=lufs, normalize=not no_normalize, trim=trim, bits=bits, rate=rate, channels=channels,
        metadata=not no_metadata,
    )  # fmt: skip
    tasks = [replace(options, prompt=line) for line in _lines()] if prompt == STDIN else [options]
    make_sounds(
        "generate", tasks, Targets.in_turn([num] * len(tasks), output, image), finish=finish, model=model,
        vocoder=vocoder, backend=backend, device=device, threads=threads, play=play, as_json=as_json, quiet=quiet,
        label="generating",
    )  # fmt: skip


def _lines() -> list[str]:
    """The prompts on standard input, one a line."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("standard input is not valid UTF-8 text; save the prompts as UTF-8") from None
    if not (lines := [line for line in text.split("\n") if line.strip()]):
        raise UsageError("standard input holds no prompt; write one on each line")
    return lines
