"""This program against others that make sound from text, timed one after another for as much sound.

Their networks are built at their published sizes with random weights, which take the same time as trained ones.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import peers
from .run import BenchmarkOptions, Report, described, open_timed, timed_sound


@dataclass(frozen=True)
class Peer:
    """Another program's way to one sound.

    Attributes:
        settings: steps and size, for the reader.
        parts: (name, what to call, how often one sound calls it); a part that a sound calls often is timed fewer times.
    """

    settings: str
    parts: list[tuple[str, Callable[[], object], int]]


# Calls of one part that are timed at most: a diffusion step takes as long as the one before it.
TIMED_CALLS = 3


def compare(options: BenchmarkOptions, report: Report = lambda text: None, build: dict | None = None) -> dict:
    """Time this program and every peer whose packages are installed.

    Args:
        build: by name, functions of (seconds, threads) that give (settings, parts) of a Peer and raise ImportError
            where a package is missing; None takes `peers.PEERS`.

    Raises:
        SmgError: as `run.open_timed`.
    """
    pipe, _ = open_timed(options)
    sound = options.sound()
    report(f"smg {pipe.config.name}")
    pipe.make(sound)
    ours = statistics.median(timed_sound(pipe, sound)[0] for _ in range(options.runs))
    found = described(options, pipe)
    programs = [_row(f"smg {pipe.config.name}", f"{options.steps} steps", ours, {}, options.seconds, ours)]
    skipped = {}
    for name, make in (peers.PEERS if build is None else build).items():
        report(name)
        try:
            peer = Peer(*make(options.seconds, pipe.runtime.threads))
        except ImportError as error:
            skipped[name] = f"{error.name or error} is not installed: pip install '.[compare]' in a checkout of smg"
            continue
        except RuntimeError as error:  # what diffusers makes of a package that itself lacks one; or no memory
            skipped[name] = f"it cannot be built here ({str(error).splitlines()[0]})"
            continue
        parts = {part: calls * _seconds(function, calls) for part, function, calls in peer.parts}
        programs.append(_row(name, peer.settings, sum(parts.values()), parts, options.seconds, ours))
        del peer
        gc.collect()  # some are gigabytes
    return found | {"seconds": options.seconds, "programs": programs, "skipped": skipped}


def _seconds(function: Callable[[], object], calls: int) -> float:
    """Median seconds of one call, after one that is not counted where it is called often."""
    if calls > 1:
        function()
    times = []
    for _ in range(min(calls, TIMED_CALLS)):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _row(name: str, settings: str, total: float, parts: dict, seconds: float, ours: float) -> dict:
    return {
        "name": name, "settings": settings, "total": total, "rtf": total / seconds, "ratio": total / ours,
        "parts": parts,
    }  # fmt: skip
