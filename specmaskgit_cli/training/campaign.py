"""All stages of a model within a given time on one machine: what trains when, beside what, and what is brought home.

A GPU that is rented by the minute is well used when it never waits: the clips are decoded by all cores at once, the
small networks (audio tower, envelope) train beside the tokenizer, and the decoder is refined beside the generator.
Every stage is a process of its own, with a time to end by; its averaged weights are exported while it runs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..config.presets import PRESETS
from ..data.bundle import TEXTS
from ..data.clips import open_cache
from ..errors import SmgError
from .portable import export_run, import_runs

SPARE_SECONDS = 25  # at the end: for the last save and export
GRACE_SECONDS = 15  # that a stage has to save in after its time
EXPORT_SECONDS = 40  # between exports of a stage that has saved anew
SAVE_MINUTES = 0.5


@dataclass(frozen=True)
class Plan:
    """When each stage trains, as shares of the time that is left after decoding.

    Attributes:
        tokenizer, generator, refine, embedder, envelope: (begin, end); a stage with no time is left out.
        batches: examples a step.
    """

    tokenizer: tuple[float, float] = (0.0, 0.34)
    embedder: tuple[float, float] = (0.0, 0.34)
    envelope: tuple[float, float] = (0.0, 0.3)
    generator: tuple[float, float] = (0.34, 1.0)
    refine: tuple[float, float] = (0.4, 0.85)
    batches: dict[str, int] = field(
        default_factory=lambda: {"tokenizer": 256, "embedder": 256, "envelope": 64, "generator": 256, "refine": 128}
    )

    def of_earlier(self) -> Plan:
        """With a finished tokenizer, which stays: the generator has all of the time, and the decoder is refined."""
        none = (0.0, 0.0)
        return dataclasses.replace(self, tokenizer=none, generator=(0.0, 1.0), refine=(0.0, 0.6))


@dataclass(frozen=True)
class Campaign:
    """What a campaign is given.

    Attributes:
        data: shards, with texts.safetensors beside them, as `smg train bundle` writes them.
        output: where exported weights go: files of at most 16 MB.
        scratch: where clips are decoded and runs are kept; what an earlier call left there is used.
        seconds: from the call to the end.
        preset, device, precision: as of the stages.
        earlier: a folder of weights that an earlier campaign exported, to go on from.
        workers: processes that decode and draw.
    """

    data: list[Path]
    output: Path
    scratch: Path
    seconds: float
    preset: str = "full"
    device: str = "cuda"
    precision: str = "bf16"
    earlier: Path | None = None
    workers: int = 8
    canvases: int | None = None
    plan: Plan = field(default_factory=Plan)

    def run(self, report: Callable[[str], None] = print) -> dict[str, dict]:
        """Train until the time is over. Returns the last metrics of each stage.

        Raises:
            SmgError: no texts beside the data, or no time left after decoding.
        """
        started = time.monotonic()
        texts = next((d / TEXTS for d in self.data if (d / TEXTS).exists()), None)
        if texts is None:
            raise SmgError(f"no {TEXTS} beside the data; make both with `smg train bundle`")
        runs = self.scratch / "runs"
        found = import_runs(self.earlier, runs) if self.earlier else {}
        config = PRESETS[self.preset]
        open_cache(self.data, config.mel, self.cache / "clips", report, waves=True, workers=self.workers)
        begin, end = time.monotonic(), started + self.seconds - SPARE_SECONDS
        if end <= begin:
            raise SmgError(f"decoding took {begin - started:.0f} s, all of the {self.seconds:.0f}; give more --seconds")
        report(f"decoded after {begin - started:.0f} s; {end - begin:.0f} s to train in")
        plan = self.plan.of_earlier() if "tokenizer" in found else self.plan
        stages = [_Stage(self, name, runs, texts, plan, found, begin, end) for name in COMMANDS]
        self._conduct([stage for stage in stages if stage.stop > stage.start], report)
        metrics = {stage.name: stage.metrics() for stage in stages if stage.metrics()}
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "campaign.json").write_text(json.dumps(metrics, indent=1) + "\n")
        report(f"ended after {time.monotonic() - started:.0f} s")
        return metrics

    @property
    def cache(self) -> Path:
        return self.scratch / "cache"

    def _conduct(self, stages: list[_Stage], report: Callable[[str], None]) -> None:
        """Start each stage when its time has come, export what it saves, and end what goes on for too long."""
        try:
            while any(not stage.ended for stage in stages):
                for stage in stages:
                    stage.tend(stages, report)
                time.sleep(0.5)
        finally:
            for stage in stages:
                stage.end(report)


# Stage -> the command that trains it, and its options.
COMMANDS = {
    "tokenizer": "tokenizer",
    "embedder": "embedder",
    "envelope": "envelope",
    "generator": "generator",
    "refine": "tokenizer",
}
NEEDS = {"generator": "tokenizer", "refine": "tokenizer"}
DRAWN_BY_WORKERS = ("embedder", "envelope", "generator", "refine")


class _Stage:
    """One stage: a process, its time, and its export."""

    def __init__(
        self, campaign: Campaign, name: str, runs: Path, texts: Path, plan: Plan, found: dict, begin: float, end: float
    ):  # fmt: skip
        self.campaign, self.name, self.texts, self.found = campaign, name, texts, found
        self.runs, self.run, self.batch = runs, runs / name, plan.batches[name]
        self.start, self.stop = (begin + share * (end - begin) for share in getattr(plan, name))
        self.process: subprocess.Popen | None = None
        self.ended, self.exported, self.saved = False, 0.0, 0.0

    def tend(self, stages: list[_Stage], report: Callable[[str], None]) -> None:
        now = time.monotonic()
        needed = next((s for s in stages if s.name == NEEDS.get(self.name)), None)
        if self.process is None and not self.ended and now >= self.start and (needed is None or needed.ended):
            minutes = (self.stop - now) / 60
            if minutes <= 0 or not self._possible():
                report(f"{self.name}: left out; what it needs is not there, or no time is left")
                self.ended = True
                return
            log = (self.campaign.scratch / f"{self.name}.log").open("w")
            # Stages side by side starve each other where the threads of each wait for work by spinning.
            environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | {"SMG_CACHE": str(self.campaign.cache)}
            command = self._command(minutes)
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
            report(f"{self.name}: {60 * minutes:.0f} s")
        if self.process is None or self.ended:
            return
        if self.process.poll() is not None or now > self.stop + GRACE_SECONDS:
            self.end(report)
        elif now - self.exported > EXPORT_SECONDS:
            self._export(report)

    def end(self, report: Callable[[str], None]) -> None:
        """End the process, which saves, and export for the last time."""
        if self.process is None or self.ended:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.ended = True
        if code := self.process.wait():
            log = (self.campaign.scratch / f"{self.name}.log").read_text().splitlines()
            report(f"{self.name}: ended with {code}: {log[-1] if log else 'no word'}")
        self._export(report)
        report(f"{self.name}: {json.dumps(self.metrics())}")

    def metrics(self) -> dict:
        """The last line of its metrics; empty if there is none."""
        path = self.run / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def _export(self, report: Callable[[str], None]) -> None:
        path = self.run / "model.safetensors"
        if not path.exists() or path.stat().st_mtime <= self.saved:
            return
        self.exported, self.saved = time.monotonic(), path.stat().st_mtime
        try:
            export_run(self.run, self.campaign.output)
        except (OSError, SmgError, ValueError) as error:  # one export that fails must not end the training
            report(f"{self.name}: not exported: {error}")

    def _possible(self) -> bool:
        needed = NEEDS.get(self.name)
        return needed is None or (self.runs / needed / "model.safetensors").exists()

    def _command(self, minutes: float) -> list[str]:
        campaign, tokenizer = self.campaign, self.runs / "tokenizer"
        options = {
            "--minutes": f"{minutes:.4f}", "-o": self.run, "--batch": self.batch, "--device": campaign.device,
            "--precision": campaign.precision, "--save-minutes": SAVE_MINUTES, "--validate-minutes": 1.0,
        }  # fmt: skip
        if self.name in DRAWN_BY_WORKERS:
            options["--workers"] = campaign.workers
        if self.name in ("tokenizer", "embedder", "envelope"):
            options["--preset"] = campaign.preset
        if self.name in ("embedder", "generator"):
            options["--text-encoder"] = self.texts
        if self.name == "generator":
            options |= {"--tokenizer": tokenizer, "--condition": "text"}
            if campaign.canvases:
                options["--canvases"] = campaign.canvases
            if "generator" in self.found:
                options["--refine"] = self._earlier()
        if self.name == "refine":
            options["--refine"] = tokenizer
        words = [str(word) for pair in options.items() for word in pair]
        data = [word for path in campaign.data for word in ("--data", str(path))]
        return [sys.executable, "-m", "specmaskgit_cli", "train", COMMANDS[self.name], *data, *words]

    def _earlier(self) -> Path:
        """The earlier generator out of the way of the run that goes on from it."""
        aside = self.runs / "generator-earlier"
        if not aside.exists():
            self.run.rename(aside)
        return aside
