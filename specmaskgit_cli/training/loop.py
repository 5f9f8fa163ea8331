"""The one training loop: time budget, mixed precision, moving averages, validation, exact resume, several processes.

A stage supplies the model, the loss of a part of a batch and a validation metric; everything else happens here. All
random choices of step n derive from (seed, n), so an interrupted run continues as if it had not stopped, and a batch is
the same however many processes share it: each takes its parts, and their gradients are added up.
"""

from __future__ import annotations

import copy
import itertools
import json
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .. import distributed
from ..config.settings import CheckpointConfig, from_dict, to_dict
from ..durable import put, usual_rights
from ..errors import SmgError
from .batch_parts import BatchPart, drawn_parts
from .memory import keep_freed_memory
from .optim import Optimizers


@dataclass(frozen=True)
class TrainOptions:
    """Settings of a training run, whatever the stage."""

    minutes: float = 60.0
    steps: int | None = None  # stop after so many steps, if sooner
    batch: int = 32  # examples a step, of all processes together
    accumulate: int = 1  # parts one after another that a process computes its share of the batch in
    workers: int = 0  # processes that draw examples ahead
    muon_lr: float = 0.02
    adam_lr: float = 1e-3
    warmup: int = 100
    decay: float = 0.4  # share of the budget over which the learning rate falls linearly to zero
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"  # or "bf16"
    validate_minutes: float = 5.0
    save_minutes: float = 3.0


class Stage:
    """What a trainer of one model gives to the loop. Subclasses set `name` and `model`."""

    name: str
    model: nn.Module  # all that is saved; parameters with requires_grad are trained
    progress: float = 0.0  # share of the budget spent, kept by the loop
    settings: dict = {}  # of the stage itself, recorded beside the loop's
    drawn_ahead: bool = True  # whether `draw` may run in worker processes, which have no device

    def __init__(self, config: CheckpointConfig, options: TrainOptions):
        self.config, self.options, self.device = config, options, torch.device(options.device)
        torch.manual_seed(options.seed)  # of the first weights; the loop seeds every step

    def optimizers(self) -> Optimizers:
        return Optimizers(self.model, self.options.muon_lr, self.options.adam_lr, precision=self.options.precision)

    def draw(self, part: BatchPart):
        """The examples of a part, as CPU tensors, wherever it is called."""
        raise NotImplementedError

    def loss(self, part: BatchPart, drawn) -> tuple[Tensor, dict[str, Tensor]]:
        """What drawn examples add to the loss of the whole batch, and to what is logged beside it; as tensors, since
        asking a device for numbers at every step keeps it waiting."""
        raise NotImplementedError

    def finish(self, step: int) -> None:
        """Called after the gradients of a step, to update what is not learned by them."""

    def validate(self) -> dict[str, float]:
        """Metrics of `self.model` (moving averages are in place when the loop calls this)."""
        raise NotImplementedError


def run_config(directory: Path) -> CheckpointConfig:
    """The configuration a run was trained with.

    Raises:
        SmgError: the directory is not a training run.
    """
    path = directory / "config.json"
    if not path.exists():
        raise SmgError(f"{directory}: not a training run (no config.json)")
    return from_dict(CheckpointConfig, json.loads(path.read_text()), str(path))


def train(stage: Stage, directory: Path, report=print) -> dict[str, float]:
    """Train until the budget is spent; continue if `directory` holds an earlier part of the run.

    Writes config.json, options.json, model.safetensors (moving averages), metrics.jsonl and state.pt (for resuming).
    Returns the last validation metrics, in the first of several processes.
    """
    options = stage.options
    keep_freed_memory()
    directory.mkdir(parents=True, exist_ok=True)
    stage.model.to(stage.device).train()
    distributed.from_first(*(t for t in stage.model.state_dict().values() if t.is_floating_point()))
    average = copy.deepcopy(stage.model).eval().requires_grad_(False)
    optimizers = stage.optimizers()
    run = _Run(directory, stage, average, optimizers)
    run.resume(report)
    run.describe()

    stop = []
    handlers = {s: signal.signal(s, lambda *_: stop.append(1)) for s in (signal.SIGTERM, signal.SIGINT)}
    autocast = torch.autocast(stage.device.type, torch.bfloat16, enabled=options.precision == "bf16")
    begin = last = saved = validated = time.monotonic()
    spent_before, smooth, metrics = run.seconds, {}, {}
    parts = drawn_parts(stage, run.step)
    try:
        while True:
            run.seconds = spent_before + time.monotonic() - begin
            progress = run.seconds / 60 / options.minutes
            if options.steps:
                progress = max(progress, run.step / options.steps)
            stage.progress, stopped = distributed.agree(progress, bool(stop), stage.device)
            if stopped or stage.progress >= 1:
                break
            logs: dict[str, float | Tensor] = {}
            for part, drawn in itertools.islice(parts, options.accumulate):
                torch.manual_seed(options.seed * 1_000_003 + run.step + (part.index << 40))
                with autocast:
                    loss, beside = stage.loss(part, drawn)
                if loss.requires_grad:
                    loss.backward()
                for key, value in {"loss": loss.detach(), **beside}.items():
                    logs[key] = logs.get(key, 0.0) + value
            distributed.add_up_gradients(stage.model)
            stage.finish(run.step)
            norm = nn.utils.clip_grad_norm_(stage.model.parameters(), options.clip)
            if torch.isfinite(norm):
                left = 1 - stage.progress
                optimizers.step(min(1.0, (run.step + 1) / options.warmup) * min(1.0, left / options.decay))
            run.step += 1
            _update_average(average, stage.model, min(options.ema, (1 + run.step) / (10 + run.step)))
            for key, value in distributed.whole(logs, stage.device).items():
                smooth[key] = value if key not in smooth else smooth[key] + 0.05 * (value - smooth[key])
            now = time.monotonic()
            if now - last > 20:
                rate = run.step / max(run.seconds, 1e-9)
                text = " ".join(f"{k} {float(v):.4f}" for k, v in smooth.items())
                report(f"{stage.name} step {run.step} {stage.progress:.0%} {rate:.2f} steps/s {text}")
                last = now
            if now - validated > 60 * options.validate_minutes:
                metrics = run.validate(smooth, report)
                validated = time.monotonic()
            if now - saved > 60 * options.save_minutes:
                run.save()
                saved = time.monotonic()
        metrics = run.validate(smooth, report)
    finally:
        run.save()
        for s, handler in handlers.items():
            signal.signal(s, handler)
    return metrics


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for slow, fast in zip(average.buffers(), model.buffers(), strict=True):
        slow.copy_(fast)


class _Run:
    """Progress of a run and its files."""

    def __init__(self, directory: Path, stage: Stage, average: nn.Module, optimizers: Optimizers):
        self.directory, self.stage, self.average, self.optimizers = directory, stage, average, optimizers
        self.step, self.seconds = 0, 0.0

    def resume(self, report) -> None:
        path = self.directory / "state.pt"
        if path.exists():
            self._load(path)
            report(f"continuing at step {self.step}, {self.seconds / 60:.1f} minutes done")
        if not distributed.alike(self.step, self.stage.device):
            raise SmgError(f"{self.directory}: not every process finds the same {path.name}; use a directory all share")

    def _load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.stage.device, weights_only=True)
        try:
            self.stage.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizers.load_state_dict(state["optimizers"])
        except (RuntimeError, ValueError, KeyError):
            raise SmgError(f"{self.directory}: holds a run of another configuration; choose another -o") from None
        self.step, self.seconds = state["step"], state["seconds"]

    def describe(self) -> None:
        """Write how the run was configured."""
        if distributed.rank():
            return
        (self.directory / "config.json").write_text(json.dumps(to_dict(self.stage.config), indent=2) + "\n")
        options = {"stage": self.stage.name} | asdict(self.stage.options) | self.stage.settings
        if distributed.size() > 1:
            options["processes"] = distributed.size()
        (self.directory / "options.json").write_text(json.dumps(options, indent=2) + "\n")

    def save(self) -> None:
        if distributed.rank():
            return
        state = {
            "model": self.stage.model.state_dict(), "average": self.average.state_dict(),
            "optimizers": self.optimizers.state_dict(), "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(state, self.directory / "state.tmp")
        put(self.directory / "state.tmp", self.directory / "state.pt")
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.average.state_dict().items()}
        save_file(tensors, self.directory / "model.tmp")
        usual_rights(self.directory / "model.tmp")
        put(self.directory / "model.tmp", self.directory / "model.safetensors")

    def validate(self, smooth: dict[str, float | Tensor], report) -> dict[str, float]:
        """Metrics in process 0; the others have none, and wait for it at their next sum."""
        if distributed.rank():
            return {}
        trained, self.stage.model = self.stage.model, self.average
        with torch.no_grad():
            metrics = self.stage.validate()
        self.stage.model = trained
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2)}
        line |= {key: float(value) for key, value in smooth.items()}
        line |= {f"val_{key}": value for key, value in metrics.items()}
        with open(self.directory / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        report(f"{self.stage.name} step {self.step} validation " + " ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
        return metrics


def load_run(directory: Path, model: nn.Module, trained_as: str = "") -> nn.Module:
    """Put a run's averaged weights into `model`; float32, eval mode. `trained_as` is what the run's model calls it,
    where it is but a part of that.

    Raises:
        SmgError: there is no finished save, or it is of another shape.
    """
    path = directory / "model.safetensors"
    if not path.exists():
        raise SmgError(f"{directory}: no model.safetensors; has this run saved yet?")
    try:
        state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        prefix = f"{trained_as}." if trained_as else ""
        model.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    except RuntimeError as error:
        raise SmgError(f"{path}: weights do not fit the configuration ({str(error).splitlines()[0]})") from None
    return model.eval()
