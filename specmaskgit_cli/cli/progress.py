"""What is done about long work: a progress bar on standard error, and a refusal where nobody asked for so much."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import SmgError

PATIENCE = 1.0  # seconds without a bar: most sounds are done by then
TRIAL = 3.0  # seconds of work that tell how long all of it takes


@contextmanager
def progress_bar(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function of (done, total) that draws the bar, or None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    started, bar, task = time.monotonic(), None, None

    def update(done: int, total: int) -> None:
        nonlocal bar, task
        if bar is None:
            if time.monotonic() - started < PATIENCE:
                return
            bar = _start()
            task = bar.add_task(label)
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()


def refused_above(seconds: float, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
    """A function of (done, total) that goes on to `progress`, and ends work that would take longer than `seconds`.

    It raises SmgError, with how long it would take, once TRIAL seconds of work can tell.
    """
    first = None  # what went before it, such as reading the input, tells nothing of the steps

    def update(done: int, total: int) -> None:
        nonlocal first
        now = time.monotonic()
        began, before = first = first or (now, done)
        whole = (now - began) * total / max(done - before, 1)
        if now - began > TRIAL and whole > seconds:
            raise SmgError(f"it would take about {_duration(whole)} here; --yes makes it all the same")
        if progress:
            progress(done, total)

    return update


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds > 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _start():
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    bar.start()
    return bar
