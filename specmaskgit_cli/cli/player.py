"""Playing a sound with a program that is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from ..audio.blocks import Pcm
from ..errors import SmgError
from ..terminal import say

# Programs, the best first, with what makes them play and end in silence.
PLAYERS = {
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "paplay": (),
    "pw-play": (),
    "aplay": ("-q",),
    "afplay": (),
    "play": ("-q",),
}
WAV_ONLY = ("aplay",)  # any other file it plays as noise
# Those that play 16-bit samples from standard input, and how; ffplay is told of them by the header of a WAV file.
STREAMING = {
    "ffplay": (*PLAYERS["ffplay"], "-f", "wav", "-"),
    "paplay": ("--raw", "--format=s16le", "--rate={rate}", "--channels={channels}"),
    "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-r", "{rate}", "-c", "{channels}", "-"),
    "play": ("-q", "-t", "raw", "-e", "signed", "-b", "16", "-r", "{rate}", "-c", "{channels}", "-"),
}
HEADED = ("ffplay",)


def players() -> list[str]:
    """Names of the programs that are installed."""
    return [name for name in PLAYERS if shutil.which(name)]


def streaming_player() -> str:
    """The best program that plays samples as they come. Raises SmgError where none is installed."""
    name = next((name for name in players() if name in STREAMING), None)
    if name is None:
        raise SmgError(f"nothing to play a stream with; install one of {', '.join(STREAMING)}, or write it with -o")
    return name


@contextlib.contextmanager
def playing(rate: int, channels: int) -> Iterator[Pcm]:
    """Yield what plays each block of a sound; after the block it is heard to its end, unless an exception ends it.

    Raises:
        SmgError: there is no program to play with, or it fails. BrokenPipeError: it was closed.
    """
    import subprocess

    name = streaming_player()
    command = [shutil.which(name), *(word.format(rate=rate, channels=channels) for word in STREAMING[name])]
    try:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise SmgError(f"{name} could not be started: {error.strerror}") from None
    try:
        yield Pcm(program.stdin, rate, channels, name in HEADED)
        program.stdin.close()
        program.wait()
    except BrokenPipeError:
        if code := program.wait():
            raise SmgError(f"{name} could not play the stream ({code})") from None
        raise
    finally:
        with contextlib.suppress(OSError):  # of what it did not take
            program.stdin.close()
        program.terminate()
        program.wait()


def play(file: str) -> None:
    """Play a file to its end. Where that fails one line on standard error says so: the file is there all the same."""
    import subprocess

    wav = file.lower().endswith(".wav")
    name = next((name for name in players() if wav or name not in WAV_ONLY), None)
    if name is None:
        say(f"smg: warning: nothing to play {file} with; install one of {', '.join(PLAYERS)}", error=True)
        return
    # The absolute path can be taken neither for an option nor for an address.
    command = [shutil.which(name), *PLAYERS[name], os.path.abspath(file)]
    try:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
    except OSError as error:
        code = error.strerror
    if code:
        say(f"smg: warning: {name} could not play {file} ({code})", error=True)
