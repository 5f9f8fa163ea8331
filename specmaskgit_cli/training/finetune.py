"""Fine-tuning: a finished checkpoint's generator learns a folder of new sounds without losing the old ones.

The old recordings are not at hand, so the model rehearses what it believes itself: a part of every batch are grids that
the untouched model made of sounds it knows, on which the new model's distributions are held to the old one's
(learning without forgetting, Li and Hoiem, arXiv 1606.09282, with generative replay, Shin et al., arXiv 1705.08690).
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint.building import check_free, new_checkpoint
from ..checkpoint.card import CARD, known_sounds
from ..checkpoint.layout import CONFIG, Checkpoint, read_sums
from ..conditioning.bank import Bank
from ..conditioning.condition import Condition, Layout
from ..config.settings import to_dict
from ..data.canvas import TYPICAL_SECONDS
from ..data.clips import ClipCache, open_cache
from ..decoding.core import decode
from ..decoding.settings import DecodeSettings
from ..errors import SmgError, UsageError
from ..export.graphs import as_stored, save_half
from ..models.parts import GENERATOR
from ..runtime.torch import TorchRuntime
from ..synthesis.prompts import Prompts
from .bank import make_bank, write_bank
from .card import credits
from .generator import CONDITION_DROPOUT, DEEPER_SHARE, DEEPER_WEIGHT, GeneratorStage
from .guided import with_guidance
from .loop import TrainOptions, load_run, train
from .masks import Masks
from .pack import known_sounds as sounds_of
from .pack import labels_of, write_known_sounds

REHEARSED = 64  # grids that the old model makes
REHEARSAL_SHARE = 0.1  # of the time that may go into making them
REHEARSAL = DecodeSettings(steps=8)
REHEARSE = 1  # stream of random choices
ALIKE = 0.7  # cosine to a new sound above which a known one is not held on to
CREDITS = "CREDITS.md"
KNOWN_EMBEDDINGS = "known_sounds.safetensors"


@dataclass(frozen=True)
class FinetuneOptions:
    """How to fine-tune; the rest as in TrainOptions.

    Attributes:
        rehearsal: share of every batch that holds the model to what it knew; 0 lets it forget.
        keep: weight of that in the loss.

    Raises:
        UsageError: a value out of range.
    """

    rehearsal: float = 0.4
    keep: float = 1.0

    def __post_init__(self):
        if not 0 <= self.rehearsal < 1:
            raise UsageError(f"rehearsal is {self.rehearsal}; use a share from 0 to below 1")
        if not self.keep >= 0:
            raise UsageError(f"keep is {self.keep}; use 0 or more")


class FinetuneStage(GeneratorStage):
    """Loss on new clips, and the divergence from the old model on grids of sounds that it knows.

    Args:
        runtime: the old model.
        known: embeddings of the sounds to hold on to, float32 [n, D].
        seconds: that may go into making grids of them.
    """

    name = "finetune"
    validation_batches = 2  # of the few clips held out
    # Of the rehearsed grids, where the model can apply guidance itself. On new sounds nobody could teach it that:
    # learning from its own two passes, it diverges.
    guided_share = 0.3

    def __init__(
        self, runtime: TorchRuntime, options: TrainOptions, tuning: FinetuneOptions, train: ClipCache, val: ClipCache,
        known: np.ndarray, seconds: float = 60.0,
    ):  # fmt: skip
        self.old, self.tuning = runtime.model("generator"), tuning
        keys = hashlib.sha256(json.dumps([clip.key for clip in train.clips]).encode()).hexdigest()[:12]
        self.settings = asdict(tuning) | {"model": runtime.checkpoint.hash, "clips": keys}
        super().__init__(
            runtime.config, options, train, val, runtime.model("tokenizer_encoder"), runtime.embed_text,
            model=copy.deepcopy(self.old).requires_grad_(True),
        )  # fmt: skip
        self.replay = _replay(runtime, known, seconds, options) if tuning.rehearsal else None

    def draw(self, part, share: float = 1.0):
        return super().draw(part, share if self.replay is None else 1 - self.tuning.rehearsal)

    def loss(self, part, drawn):
        loss, logs = super().loss(part, drawn)
        if self.replay is None:
            return loss, logs
        columns = drawn.tokens.shape[2]
        size = self._size(min(columns, self.typical), self.tuning.rehearsal)
        kept = self._divergence(part.rng(REHEARSE), size, columns)
        return loss + self.tuning.keep * kept, {"first": logs["first"], "kept": kept.detach()}

    def _divergence(self, rng, size: int, columns: int) -> Tensor:
        """Kullback-Leibler divergence from the old model at masked positions of rehearsed grids, weighted as the loss
        on new clips is."""
        grids, conditions = self.replay
        chosen = torch.from_numpy(rng.integers(len(grids), size=size)).to(self.device)
        start = int(rng.integers(max(1, grids.shape[2] - columns + 1)))
        tokens, condition = grids[chosen][:, :, start : start + columns], self._from(conditions[chosen], start)
        grid = tokens.shape[1:3]
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        mask = Masks.draw(size, tuple(grid), generator, self.device).cells
        dropped = torch.from_numpy(rng.random(size) < CONDITION_DROPOUT).to(self.device)
        if limit := self.old.config.guidance:
            scale = limit * rng.random(size) * (rng.random(size) < self.guided_share)
            scale = torch.from_numpy(scale).to(self.device) * ~dropped
            condition = with_guidance(condition, scale, self.old.config)
        where, codes = mask.flatten(1), tokens.flatten(1, 2)[mask.flatten(1)]
        rows = self.model.hidden(tokens, mask, condition, dropped)[where]
        with torch.no_grad():
            old_rows = self.old.hidden(tokens, mask, condition, dropped)[where]
        tables, old_tables = self.model.tables(), self.old.tables()

        def divergence(at, k):
            level = torch.tensor(k, device=self.device)
            with torch.no_grad():
                target = F.log_softmax(self.old.logits(old_rows[at], codes[at], level, old_tables), -1)
            found = F.log_softmax(self.model.logits(rows[at], codes[at], level, tables), -1)
            return F.kl_div(found, target, reduction="batchmean", log_target=True)

        total = divergence(torch.arange(len(rows), device=self.device), 0)
        some = torch.from_numpy(rng.permutation(len(rows))[: max(1, int(len(rows) * DEEPER_SHARE))]).to(self.device)
        for k in range(1, codes.shape[1]):
            total = total + DEEPER_WEIGHT * divergence(some, k)
        return total

    def _from(self, condition: Tensor, column: int) -> Tensor:
        """Packed conditions [B, condition_size] whose contours begin at a later column."""
        columns, place = self.config.generator.max_columns, Layout(self.config.generator).contour
        later = condition.clone()
        later[:, place] = condition[:, place].unflatten(1, (columns, -1)).roll(-column, 1).flatten(1)
        return later

    def validate(self):
        """That of the generator on the new clips held out, and the divergence from the old model."""
        if self.replay is None:
            return super().validate()
        return super().validate() | {"kept": float(self._divergence(np.random.default_rng(0), 64, self.typical))}


@torch.no_grad()
def _replay(runtime: TorchRuntime, known: np.ndarray, seconds: float, options: TrainOptions) -> tuple[Tensor, Tensor]:
    """Grids of known sounds, as far as the time allows, int64 [n, rows, columns, levels], and their conditions."""
    config, rng = runtime.config, np.random.default_rng(options.seed)
    prompts = Prompts(runtime.checkpoint, runtime)
    wanted = known[rng.permutation(len(known))[:REHEARSED]].astype(np.float32)
    grid = config.rows, min(config.columns(TYPICAL_SECONDS), config.generator.max_columns)
    drawn = (prompts.drawn(Condition(one), rng, grid[1]) for one in wanted[:, None])
    chosen = np.concatenate([condition.pack(config.generator) for condition in drawn])
    made, deadline = [], time.monotonic() + seconds
    for at in range(0, len(chosen), 8):
        condition = chosen[at : at + 8]
        tokens = np.zeros((len(condition), *grid, config.tokenizer.levels), np.int64)
        rngs = [np.random.default_rng([options.seed, at + i]) for i in range(len(condition))]
        made.append(decode(runtime, tokens, np.ones(tokens.shape[:3], bool), condition, REHEARSAL, rngs))
        if time.monotonic() > deadline:
            break
    tokens = np.concatenate(made)
    device = options.device
    return torch.from_numpy(tokens).to(device), torch.from_numpy(chosen[: len(tokens)]).to(device)


def finetune(
    checkpoint: Checkpoint, folder: Path, output: Path, options: TrainOptions, tuning: FinetuneOptions, report=print
) -> dict[str, dict[str, float]]:
    """Fine-tune a checkpoint on a folder of sounds, and write the result as a checkpoint directory.

    The run is kept beside it while it lasts: one that was ended from outside goes on when it is started again.

    Returns:
        the measures of the stage before and after.

    Raises:
        SmgError: the output exists, the folder has no sound, or the run in progress is another one.
    """
    check_free(output)
    started = time.monotonic()
    runtime = TorchRuntime(checkpoint, torch.get_num_threads(), device=options.device)
    new, held_out = open_cache([folder], checkpoint.config.mel, report=report)
    names, embeddings = sounds_of(new.clips, runtime.embed_text)
    old_names, old_embeddings = _known(checkpoint)
    foreign = old_embeddings[(old_embeddings @ embeddings.T).max(1, initial=-1) < ALIKE]
    if tuning.rehearsal and not len(foreign):
        foreign = _imagined(runtime, options.seed)
    report(f"{len(new.clips)} clips of {len(names)} sounds; making some of {len(foreign)} known ones to rehearse")
    seconds = REHEARSAL_SHARE * options.minutes * 60
    stage = FinetuneStage(runtime, options, tuning, new, held_out, foreign, seconds)
    with torch.no_grad():
        before = stage.validate()
    left = options.minutes - (time.monotonic() - started) / 60
    stage.options = replace(options, minutes=max(left, options.minutes / 2))
    run = output.with_name(f".{output.name}.training")
    _check_same(run, stage)
    after = train(stage, run, report=report)
    section = _section(checkpoint, new.clips, names, before, after, run)
    added = [i for i, name in enumerate(names) if name not in old_names]
    with new_checkpoint(output) as building:
        _copy(checkpoint, building)
        _finished(run, stage, building)
        merged = [*old_names, *(names[i] for i in added)]
        write_known_sounds(building, merged, np.concatenate([old_embeddings, embeddings[added]]))
        if stage.styles:
            bank = make_bank(new, runtime.config, stage.styles, labels_of(new.clips), embeddings)
            places = np.array([merged.index(name) for name in names])
            old = Bank.read(checkpoint, len(old_names))
            write_bank(building, old, replace(bank, sounds=places[bank.sounds]))
        _describe(checkpoint, building, output.name, len(new.clips), section, new.clips)
    shutil.rmtree(run)
    return {"before": before, "after": after}


def _check_same(run: Path, stage: FinetuneStage) -> None:
    """Raise SmgError where a run in progress adapts another model or other clips."""
    path = run / "options.json"
    found = json.loads(path.read_text()) if path.exists() else stage.settings
    if any(found.get(key) != stage.settings[key] for key in ("model", "clips")):
        raise SmgError(f"{run}: an unfinished run with another model or other clips; remove it or choose another -o")


def _known(checkpoint: Checkpoint) -> tuple[list[str], np.ndarray]:
    names = known_sounds(checkpoint)
    if not names:
        return [], np.zeros((0, checkpoint.config.generator.condition_dim), np.float32)
    return names, checkpoint.tensors(KNOWN_EMBEDDINGS)["embeddings"]


def _imagined(runtime: TorchRuntime, seed: int) -> np.ndarray:
    """Conditions as the model met them in training, for one that does not say what it knows: float32 [n, D]."""
    model = runtime.model("generator")
    dim = model.config.condition_dim
    mean, scale = (t.cpu().numpy()[:dim] for t in (model.condition_mean, model.condition_scale))
    drawn = mean + scale * np.random.default_rng(seed).standard_normal((REHEARSED, len(mean)))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def _copy(checkpoint: Checkpoint, folder: Path) -> None:
    for name in read_sums(checkpoint.directory):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkpoint.path(name), folder / name)


def _finished(run: Path, stage: FinetuneStage, folder: Path) -> None:
    model = as_stored(load_run(run, copy.deepcopy(stage.old).cpu()))
    save_half(model, folder / GENERATOR.weights, skip=GENERATOR.shared)


def _describe(checkpoint: Checkpoint, folder: Path, name: str, count: int, section: str, clips) -> None:
    """Put the fine-tuning into config.json, the model card and the credits."""
    config = checkpoint.config
    statement = f"{config.training_data} Fine-tuned on {count} further clips.".strip()
    config = replace(config, name=name, training_data=statement)
    (folder / CONFIG).write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).exists() else f"# {name}\n"
    (folder / CARD).write_text(f"{card.rstrip()}\n\n{section}", encoding="utf-8")
    if any(clip.info.get("attribution") or clip.info.get("licence") for clip in clips):
        path = folder / CREDITS
        text = path.read_text(encoding="utf-8").rstrip() + "\n\n" if path.exists() else ""
        path.write_text(text + credits(clips).replace("# Credits", "# Fine-tuning", 1), encoding="utf-8")


def _section(checkpoint: Checkpoint, clips, names: list[str], before: dict, after: dict, run: Path) -> str:
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    rows = "\n".join(f"| {key} | {before[key]:.3g} | {value:.3g} |" for key, value in after.items())
    more = f", and {len(names) - 40} more" if len(names) > 40 else ""
    return (
        f"## Fine-tuning\n\nThe generator of {checkpoint.config.name} ({checkpoint.hash}), trained further on "
        f"{len(clips)} clips: {last['step']} steps in {last['minutes']:.1f} minutes. New sounds: "
        f"{', '.join(names[:40])}{more}. Measured on new clips held out (ce: cross-entropy in nats), and on what the "
        "model knew (kept: divergence from what it believed before):\n\n"
        f"| | before | after |\n|---|---|---|\n{rows}\n"
    )
