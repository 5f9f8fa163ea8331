"""`smg benchmark`: what a sound costs on this computer."""

from __future__ import annotations

from typing import Annotated

import typer

from ..decoding.settings import STEPS
from ..errors import UsageError
from ..terminal import say
from . import common
from .report import print_json


def benchmark(
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="Length of the sound.")] = 10.0,
    steps: common.Steps = STEPS,
    runs: Annotated[int, typer.Option(help="Sounds to time; the median counts.")] = 5,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Measure against length and number of sounds instead.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Measure other programs too, those that are installed.")
    ] = False,
    model: common.Model = None,
    backend: common.Backend = "auto",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.ReportOnly = False,
) -> None:
    """Measure speed and memory: by stage, against length, or against other programs.

    The computer should have nothing else to do meanwhile. Example: smg benchmark --threads 2
    """
    if scaling and compare:
        raise UsageError("--scaling and --compare are measurements of their own; give one of them")
    from ..benchmark import table
    from ..benchmark.compare import compare as run_compare
    from ..benchmark.run import BenchmarkOptions
    from ..benchmark.run import benchmark as run_benchmark
    from ..benchmark.run import scaling as run_scaling

    options = BenchmarkOptions(model, backend, threads, seconds, steps, runs)
    measure, show = run_benchmark, table.print_benchmark
    if scaling:
        measure, show = run_scaling, table.print_scaling
    elif compare:
        measure, show = run_compare, table.print_comparison

    def report(text: str) -> None:
        if not quiet:
            say("smg:", text, error=True)

    found = measure(options, report)
    if as_json:
        print_json("benchmark", found)
    else:
        show(found)
