"""Measurements as tables in Markdown, for the terminal and for pasting."""

from __future__ import annotations

import io
from collections.abc import Iterable

from ..terminal import say


def print_benchmark(found: dict) -> None:
    """Print what `run.benchmark` found."""
    _head(found, f"{found['seconds']:g} s of sound, {found['steps']} steps, median of {found['runs']} runs")
    rows = [*found["stages"].items(), ("in all", found["total"] | {"calls": 1})]
    _table(
        ("stage", "ms", "lowest to highest", "RTF", "share", "calls"),
        (
            (stage, *_times(row), f"{100 * row['seconds'] / found['total']['seconds']:.0f} %", str(row["calls"] or ""))
            for stage, row in rows
        ),
    )
    speed = found["seconds"] / found["total"]["seconds"]
    lines = {
        "speed": f"{speed:.3g} times real time; RTF {found['rtf']:.4f}",
        "core-seconds a sound": f"{found['core_seconds']:.2f}",
        "peak memory": _memory(found["peak_rss_mb"]),
        "generator": f"{found['generator_gflop']:.2f} GFLOP at {found['generator_gflop_per_second']:.1f} GFLOP/s, "
        f"{100 * found['gemm_share']:.0f} % of the {found['gemm_gflop_per_second']:.1f} GFLOP/s that its products "
        "alone reach here",
        "first sound of a process": f"{found['first_seconds']:.2f} s, the models loaded on the way",
        "cold start": f"{found['cold_seconds']:.2f} s for a whole `smg generate` of 4 s of sound",
    }
    say("\n" + "\n".join(f"- {name}: {text}" for name, text in lines.items()), lines=True)


def print_scaling(found: dict) -> None:
    """Print what `run.scaling` found."""
    _head(found, f"{found['steps']} steps, median of {found['runs']} runs")
    _table(
        ("sounds", "seconds each", "ms", "lowest to highest", "RTF", "core-seconds", "peak memory"),
        (
            (
                str(row["num"]),
                f"{row['seconds']:g}",
                *_times(row["total"]),
                f"{row['core_seconds']:.2f}",
                _memory(row["peak_rss_mb"]),
            )
            for row in found["scaling"]
        ),
    )


def print_comparison(found: dict) -> None:
    """Print what `compare.compare` found."""
    _head(found, f"{found['seconds']:g} s of sound each, in one run")
    _table(
        ("program", "settings", "s", "RTF", "times the first"),
        (
            (row["name"], row["settings"], f"{row['total']:.2f}", f"{row['rtf']:.4f}", f"{row['ratio']:.3g}")
            for row in found["programs"]
        ),
    )
    for name, why in found["skipped"].items():
        say()
        say(f"- {name}: skipped, {why}")


def _head(found: dict, what: str) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    load = "" if found["load_average"] is None else f"; load average {found['load_average']:.1f}"
    say(f"{found['model']} {found['model_version']} ({found['model_hash']}), {found['backend']}: {what}")
    say(f"{found['cpu']}, {found['threads']} threads ({found['threads_because']}){load}")
    say(f"{versions}\n", lines=True)


def _times(row: dict) -> tuple[str, str, str]:
    low, high = 1000 * row["lowest"], 1000 * row["highest"]
    return f"{1000 * row['seconds']:.1f}", f"{low:.1f} to {high:.1f}", f"{row['rtf']:.4f}"


def _memory(megabytes: float | None) -> str:
    return "unknown" if megabytes is None else f"{megabytes:.0f} MB"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.MARKDOWN)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, force_terminal=False, width=120, highlight=False).print(table)
    say(text.getvalue().strip(), lines=True)  # the box has an empty line above and below
