"""Playing a sound with a program that is installed."""

from __future__ import annotations

import os
import shutil

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


def players() -> list[str]:
    """Names of the programs that are installed."""
    return [name for name in PLAYERS if shutil.which(name)]


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
