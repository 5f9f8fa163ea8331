"""`smg stream`: sound that goes on until it is stopped, to a player, to standard output or to a file."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ..audio.blocks import Pcm, sound_file
from ..errors import SmgError, UsageError
from ..options import VARIETY, NewSoundOptions, StreamOptions
from ..options.fields import OUTPUT
from ..options.tasks import LONGEST_STREAM
from ..terminal import say
from . import common
from .parameters import hint_of
from .player import playing, streaming_player
from .progress import progress_bar
from .report import print_json

if TYPE_CHECKING:
    import numpy as np

    from ..pipeline import Pipeline
    from ..tasks.stream import Stream

LEAD_SECONDS = 1.0  # that a stream in real time is ahead of the clock when it makes the next block
FASTER = 1.0002  # than this clock, as that of a sound card may be
LONGEST_LINE = 1 << 16  # bytes

_output = partial(typer.Option, rich_help_panel=OUTPUT)
Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What to hear.", show_default=False)]
Output = Annotated[
    str | None,
    _output("--output", "-o", help="File to write instead: .wav, .flac, .ogg, .opus, .mp3; - is standard output."),
]
Live = Annotated[bool, typer.Option("--live", help="Go over to what each line of standard input says.")]
Raw = Annotated[bool, _output("--raw", help="With -o -: 16-bit samples alone, without the header of a WAV file.")]
(Seconds, Negative, Variety, Channels, Width, Seed, Steps, Guidance, Temperature, TopP, Order) = (
    hint_of(StreamOptions, name)
    for name in (
        "seconds", "negative", "variety", "channels", "width", "seed", "steps", "guidance", "temperature", "top_p",
        "order",
    )
)  # fmt: skip


def stream(
    prompt: Prompt,
    seconds: Seconds = None,
    live: Live = False,
    negative: Negative = None,
    variety: Variety = VARIETY,
    channels: Channels = NewSoundOptions.channels,
    width: Width = NewSoundOptions.width,
    seed: Seed = None,
    steps: Steps = NewSoundOptions.steps,
    guidance: Guidance = NewSoundOptions.guidance,
    temperature: Temperature = NewSoundOptions.temperature,
    top_p: TopP = NewSoundOptions.top_p,
    order: Order = NewSoundOptions.order,
    output: Output = None,
    raw: Raw = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
) -> None:
    """Make sound that goes on until it is stopped, and play it, or with -o write it.

    Example: smg stream "wind in a forest"
    """
    options = StreamOptions(
        prompt, seconds, variety, negative=negative, channels=channels, width=width, seed=seed, steps=steps,
        guidance=guidance, temperature=temperature, top_p=top_p, order=order,
    )  # fmt: skip
    if raw and output != "-":
        raise UsageError("--raw is for standard output; give -o - with it")
    if as_json and output == "-":
        raise UsageError("--json would come amid the sound on standard output; give -o FILE with it")
    if output is None:
        streaming_player()
    else:
        from ..audio.files import check_output

        check_output(output)
    lines = _lines() if live else None

    from ..pipeline import load

    with progress_bar("downloading", quiet) as progress:
        pipe = load(model, backend, device, threads, vocoder, progress)
    timed = live or output is None or seconds is None
    if output not in (None, "-") and seconds is None:
        options = replace(options, seconds=LONGEST_STREAM)
    made = pipe.stream_of(options)
    if not quiet:
        end = "" if seconds is not None else "; Ctrl-C ends it"
        say(f"smg: {prompt!r}, seed {made.options.seed}{end}", error=True)
    blocks = _blocks(made, lines, timed, quiet)
    begun = time.monotonic()
    if output is None or output == "-":
        count = _pour(blocks, made, raw, output is None, seconds is None)
        stopped = None
    else:
        count, stopped = _write(blocks, made, pipe, output)
    if as_json:
        document = {"model": pipe.config.name, "model_hash": pipe.checkpoint.hash, "prompt": prompt, "file": output}
        told = {"seed": made.options.seed, "seconds": count / made.rate, "sample_rate": made.rate}
        more = {"channels": made.options.channels, "seconds_taken": time.monotonic() - begun}
        print_json("stream", document | told | more | {"warnings": list(made.warnings)})
    elif output not in (None, "-") and not quiet:
        say(f"{output}  {count / made.rate:.2f} s  seed {made.options.seed}")
    if stopped and not (seconds is None and isinstance(stopped, KeyboardInterrupt)):
        raise stopped


def _pour(blocks: Iterator[np.ndarray], made: Stream, raw: bool, play: bool, endless: bool) -> int:
    """To a player or to standard output, until it ends, the reader has enough, or Ctrl-C. Returns how many samples."""
    form, closed, count = (made.rate, made.options.channels), False, 0
    out = playing(*form) if play else contextlib.nullcontext(Pcm(sys.stdout.buffer, *form, header=not raw))
    try:
        with out as write:
            for block in blocks:
                write(block)
                count += block.shape[1]
    except KeyboardInterrupt:
        if not endless:
            raise
    except BrokenPipeError:
        closed = not play
    if closed:  # what is still buffered would raise again when the interpreter exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return count


def _write(
    blocks: Iterator[np.ndarray], made: Stream, pipe: Pipeline, output: str
) -> tuple[int, KeyboardInterrupt | SystemExit | None]:
    """To a file, which is whole whatever ends it but an error. Returns how many samples, and what ended it."""
    from ..sounds.record import told_of

    tags = told_of(made.options.prompt, pipe.origin, made.options.seed) if pipe.origin else {}
    written, stopped = 0, None
    with sound_file(output, made.rate, made.options.channels, tags) as write:
        try:
            for block in blocks:
                write(block)
                written += block.shape[1]
        except (KeyboardInterrupt, SystemExit) as signal:
            if not written:
                raise
            last, stopped = made.end(), signal
            write(last)
            written += last.shape[1]
    return written, stopped


def _blocks(made: Stream, lines: queue.SimpleQueue[bytes] | None, timed: bool, quiet: bool) -> Iterator[np.ndarray]:
    """The blocks of a stream, which goes over to the newest of the lines; in real time, or as fast as they are made."""
    told, given, start = (), 0, 0.0
    while True:
        if lines is not None:
            _turn(made, lines)
        if made.warnings != told:
            told = made.warnings
            for warning in () if quiet else told:
                say("smg: warning:", warning, error=True)
        block = next(made, None)
        if block is None:
            return
        yield block
        if timed:
            now = time.monotonic()
            start = start or now
            given += block.shape[1]
            ahead = given / made.rate / FASTER - (now - start)
            if ahead < 0:  # as after the computer slept: what was missed is not made up for
                start -= ahead
            time.sleep(max(0.0, ahead - LEAD_SECONDS))


def _turn(made: Stream, lines: queue.SimpleQueue[bytes]) -> None:
    """Go over to the newest of some lines; one that is no prompt is told of."""
    newest = b""
    with contextlib.suppress(queue.Empty):
        while True:
            newest = lines.get_nowait().strip() or newest
    if newest:
        try:
            made.turn(newest.decode("utf-8"))
        except UnicodeDecodeError:
            say("smg: warning: a line is not valid UTF-8 text; it is left out", error=True)
        except SmgError as error:
            say("smg: warning:", error, error=True)


def _lines() -> queue.SimpleQueue[bytes]:
    """The lines of standard input, as they come."""
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    number = sys.stdin.fileno()

    def read() -> None:  # past the buffer of sys.stdin, whose lock would be held when the program ends
        rest = b""
        with contextlib.suppress(OSError):
            while data := os.read(number, 4096):
                *whole, rest = (rest + data).split(b"\n")
                rest = rest[-LONGEST_LINE:]
                for line in whole:
                    found.put(line)
        found.put(rest)

    threading.Thread(target=read, daemon=True).start()
    return found
