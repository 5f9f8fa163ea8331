"""The benchmark: whole sounds, made again and again as `smg generate` makes them, with the clock at every stage."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..decoding.settings import STEPS
from ..errors import SmgError, UsageError
from ..options import GenerateOptions
from ..pipeline import Pipeline, load
from . import machine
from .gemm import gemm_rate
from .stages import STAGES, Clock, TimedPipeline

PROMPT = "dog barking"
COLD_SECONDS = 4.0  # of sound, made by a process that has to start first
SCALING_SECONDS, SCALING_NUM = (5.0, 10.0, 20.0, 40.0), (1, 2, 4)

Report = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to measure.

    Attributes:
        model: as of `load`, like `backend` and `threads`.
        seconds: of the sound, made with so many `steps` and the default guidance.
        runs: whole sounds to time, after one that is not counted; the median is reported.

    Raises:
        UsageError: a value out of range.
    """

    model: str | None = None
    backend: str = "auto"
    threads: int | None = None
    seconds: float = 10.0
    steps: int = STEPS
    runs: int = 5

    def __post_init__(self):
        self.sound()  # checks seconds and steps
        if not 1 <= self.runs <= 1000:
            raise UsageError(f"runs is {self.runs}; use 1 to 1000")

    def sound(self) -> GenerateOptions:
        """What is generated in every run."""
        return GenerateOptions(prompt=PROMPT, seconds=self.seconds, steps=self.steps, seed=0)


def benchmark(options: BenchmarkOptions, report: Report = lambda text: None) -> dict:
    """Time by stage, memory and the generator's share of what the processor can multiply, as plain JSON types.

    Args:
        report: is told what is being measured.

    Raises:
        SmgError: the model cannot be loaded or run.
    """
    pipe, clock = open_timed(options)
    sound = options.sound()
    report("warming up")
    first = time.perf_counter()
    pipe.make(sound)
    first = time.perf_counter() - first
    machine.reset_peak()
    stages, totals, cores = [], [], []
    for index in range(options.runs):
        report(f"run {index + 1} of {options.runs}")
        total, core = timed_sound(pipe, sound)
        totals.append(total)
        cores.append(core)
        stages.append(clock.stages(total))
    peak = machine.peak_rss_mb()
    report("multiplying matrices")
    rate = gemm_rate(pipe.config, clock.tokens, pipe.runtime.threads)
    reached = clock.flops / statistics.median(run["generator"] for run in stages)
    report("starting from cold")
    return described(options, pipe) | {
        "seconds": options.seconds,
        "steps": options.steps,
        "runs": options.runs,
        "rtf": statistics.median(totals) / options.seconds,
        "total": _row(totals, options.seconds),
        "stages": {
            stage: _row([run[stage] for run in stages], options.seconds) | {"calls": clock.calls[stage] or None}
            for stage in STAGES
        },
        "core_seconds": statistics.median(cores),
        "peak_rss_mb": peak,
        "generator_gflop": clock.flops / 1e9,
        "generator_gflop_per_second": reached / 1e9,
        "gemm_gflop_per_second": rate / 1e9,
        "gemm_share": reached / rate,
        "first_seconds": first,
        "cold_seconds": cold_start(options),
    }


def open_timed(options: BenchmarkOptions) -> tuple[TimedPipeline, Clock]:
    """The model, and the clock that watches it. Raises SmgError as `load` does."""
    clock = Clock()
    pipe: Pipeline = load(options.model, options.backend, threads=options.threads)
    return TimedPipeline(pipe, clock), clock


def timed_sound(pipe: TimedPipeline, sound: GenerateOptions) -> tuple[float, float]:
    """Make what is asked for: seconds by the clock, and of all cores together."""
    pipe.forget()
    core, started = time.process_time(), time.perf_counter()
    pipe.make(sound)
    return time.perf_counter() - started, time.process_time() - core


def described(options: BenchmarkOptions, pipe: TimedPipeline) -> dict:
    """What every measurement depends on."""
    threads, because = machine.explain_threads(options.threads)
    return {
        "model": pipe.config.name,
        "model_version": pipe.config.version,
        "model_hash": pipe.checkpoint.hash,
        "backend": pipe.runtime.backend,
        "threads": threads,
        "threads_because": because,
        "cpu": machine.cpu_name(),
        "load_average": machine.load_average(),
        "versions": machine.versions(),
    }


def cold_start(options: BenchmarkOptions) -> float:
    """Seconds of a whole `smg generate` process for a sound of COLD_SECONDS, the median of up to three.

    Raises:
        SmgError: the process failed.
    """
    times = []
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "specmaskgit_cli", "generate", PROMPT, "-o", str(Path(scratch) / "cold.wav")]
        command += ["--seconds", str(COLD_SECONDS), "--steps", str(options.steps), "--backend", options.backend, "-q"]
        command += ["--model", options.model] if options.model else []
        command += ["--threads", str(options.threads)] if options.threads else []
        for _ in range(min(3, options.runs)):
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            times.append(time.perf_counter() - started)
            if done.returncode:
                raise SmgError(f"smg generate failed in a process of its own: {done.stderr.strip()}")
    return statistics.median(times)


def scaling(
    options: BenchmarkOptions,
    report: Report = lambda text: None,
    lengths: tuple[float, ...] = SCALING_SECONDS,
    nums: tuple[int, ...] = SCALING_NUM,
) -> dict:
    """Time and peak memory against the number of sounds (each of the first length) and against their length.

    Each row is the median of `options.runs` runs, after one that is not counted.
    """
    pipe, _ = open_timed(options)
    cases = [(lengths[0], num) for num in nums] + [(length, 1) for length in lengths]
    rows = []
    for seconds, num in dict.fromkeys(cases):
        report(f"{num} of {seconds:g} s")
        sound = replace(options.sound(), seconds=seconds, num=num)
        pipe.make(sound)
        machine.reset_peak()
        times, cores = zip(*(timed_sound(pipe, sound) for _ in range(options.runs)), strict=True)
        rows.append(
            {"seconds": seconds, "num": num, "rtf": statistics.median(times) / (seconds * num)}
            | {"total": _row(times, seconds * num), "core_seconds": statistics.median(cores)}
            | {"peak_rss_mb": machine.peak_rss_mb()}
        )
    return described(options, pipe) | {"steps": options.steps, "runs": options.runs, "scaling": rows}


def _row(times: Sequence[float], seconds: float) -> dict[str, float]:
    """Median, lowest and highest of some times, and the median for a second of sound."""
    median = statistics.median(times)
    return {"seconds": median, "lowest": min(times), "highest": max(times), "rtf": median / seconds}
