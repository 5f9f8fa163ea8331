"""`smg show`: the waveform and spectrogram of a sound, in the terminal or as an image."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError, UsageError
from ..terminal import draw, say
from . import common
from .info import Files
from .output_files import same_file
from .player import play as play_file
from .report import Failures, print_json

WIDTHS = (16, 10_000)
IMAGE_SIZE = (1000, 320, 100)  # pixels: width, height of the spectrogram and of the waveform
LINES = (16, 40)  # lowest and highest number of the terminal's lines to fill
OTHER_LINES = 4  # what is said above and below, and the prompt
RAMP = " .:=*%#@"  # dark to bright, where there are no colours; -, | and + are outlines


def show(
    files: Files,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="PNG", help="Image to write instead.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Columns of the terminal, or pixels of the image; what fits if not given.")
    ] = None,
    play: common.Play = False,
    as_json: common.AsJson = False,
) -> None:
    """Draw a sound file's waveform and spectrogram, with outlines around what an edit made new.

    In colour on a terminal, unless NO_COLOR is set; else in plain characters. Example: smg show out.wav
    """
    from ..audio.files import read_audio
    from ..spectrogram.image import save_view, view

    _check(files, output, width)
    documents, failures = [], Failures(len(files))
    for file in files:
        with failures.catch(file, file=file):
            audio = read_audio(file)
            for note in audio.notes:
                say(f"smg: warning: {note}", error=True)
            seconds = audio.samples.shape[1] / audio.rate
            boxes = _boxes(file, seconds)
            if output:
                across, height, wave_height = IMAGE_SIZE
                pixels = view(audio.samples, audio.rate, width or across, height, wave_height, boxes)
                save_view(output, pixels, bool(boxes))
            documents.append(_document(file, audio, seconds, boxes, output))
            if not as_json:
                say(output or _title(file, audio, seconds))
                if not output:
                    draw(_drawn(audio, boxes, width))
                    _say_new(audio, boxes)
            if play:
                play_file(file)
    if as_json:
        print_json("show", {"files": documents, "failures": failures.found})
    failures.end()


def _drawn(audio, boxes: tuple, width: int | None) -> list[str]:
    """The lines that are a picture of a sound in the terminal."""
    from ..spectrogram.image import palette, view

    coloured = _coloured()
    columns, lines = shutil.get_terminal_size()
    lines = min(max(lines - OTHER_LINES, LINES[0]), LINES[1])
    dots = 2 if coloured else 1  # a character holds, one above the other
    size = (width or max(columns, WIDTHS[0]), (lines - lines // 4) * dots, lines // 4 * dots)
    pixels = view(audio.samples, audio.rate, *size, boxes, 1)
    return _half_blocks(pixels, palette(bool(boxes))) if coloured else _characters(pixels, bool(boxes))


def _check(files: list[str], output: str | None, width: int | None) -> None:
    if width is not None and not WIDTHS[0] <= width <= WIDTHS[1]:
        raise UsageError(f"--width is {width}; use a whole number from {WIDTHS[0]} to {WIDTHS[1]}")
    if output is None:
        return
    from ..audio.files import check_writable

    if len(files) > 1:
        raise UsageError(f"-o is {output!r}, one image for {len(files)} sounds; give one sound")
    if Path(output).suffix.lower() != ".png":
        raise UsageError(f"-o is {output!r}; end the name in .png")
    check_writable(output)
    if same_file(output, files[0]):
        raise SmgError(f"{output} is the sound itself; choose another output")


def _boxes(file: str, seconds: float) -> tuple:
    """What the file tells of its new parts; where that is damaged, a line says so, and the sound is shown without."""
    from ..sounds.record import read_record

    try:
        record = read_record(file)
        # Of a sound that was trimmed nothing tells where it began.
        return record.options.new_parts(seconds) if record and not record.output.trim else ()
    except SmgError as error:
        say("smg: warning:", error, error=True)
        return ()


def _document(file: str, audio, seconds: float, boxes: tuple, output: str | None) -> dict:
    from dataclasses import asdict

    return {
        "file": file,
        "image": output,
        "seconds": round(seconds, 6),
        "sample_rate": audio.rate,
        "channels": len(audio.samples),
        "peak_db": _peak(audio),
        "new": [asdict(box) for box in boxes],
    }


def _peak(audio) -> float | None:
    """Of the samples, in dB to full scale; None for silence."""
    import math

    peak = max(float(audio.samples.max()), -float(audio.samples.min()))
    return round(20 * math.log10(peak), 2) if peak else None


def _title(file: str, audio, seconds: float) -> str:
    level = "silent" if (peak := _peak(audio)) is None else f"peak {peak:.1f} dBFS"
    return f"{file}  {seconds:.2f} s  0 to {audio.rate / 2:g} Hz  {level}"


def _say_new(audio, boxes: tuple) -> None:
    parts = []
    for box in boxes:
        band = box.low or box.high
        high = audio.rate / 2 if box.high is None else box.high
        parts.append(f"{box.start:.2f} to {box.end:.2f} s" + (f", {box.low or 0:.0f} to {high:.0f} Hz" if band else ""))
    if parts:
        say("new: " + "; ".join(parts))


def _coloured() -> bool:
    try:
        "\N{UPPER HALF BLOCK}".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _half_blocks(pixels, colours) -> list[str]:
    """Lines of a picture, uint8 [an even height, width], whose characters are two pixels each, in 24-bit colour."""
    lines = []
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        line, last = "", None
        for pair in zip(above.tolist(), below.tolist(), strict=True):
            if pair != last:
                up, down = (";".join(map(str, colours[pixel])) for pixel in pair)
                line += f"\x1b[38;2;{up};48;2;{down}m"
            line, last = line + "\N{UPPER HALF BLOCK}", pair
        lines.append(line + "\x1b[0m")
    return lines


def _characters(pixels, marked: bool) -> list[str]:
    """Lines of a picture, uint8 [height, width], a character for each pixel."""
    import numpy as np

    from ..spectrogram.image import MARK

    drawn = np.array(list(RAMP))[pixels.astype(int) * len(RAMP) // 256]
    if marked:
        mark = np.pad(pixels == MARK, 1)
        across = mark[1:-1, :-2] | mark[1:-1, 2:]
        upright = mark[:-2, 1:-1] | mark[2:, 1:-1]
        outline = np.where(across & upright, "+", np.where(upright, "|", "-"))
        drawn = np.where(mark[1:-1, 1:-1], outline, drawn)
    return ["".join(row).rstrip() for row in drawn]
