"""Training of the generator: masked cross-entropy on tokens of captioned canvases (arXiv 2406.17672, section 3.2)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import CheckpointConfig
from ..models.generator import Generator
from ..models.tokenizer import Tokenizer
from .canvas import CanvasMaker
from .caption_bank import CaptionBank
from .data import ClipCache
from .loop import Stage, TrainOptions

LABEL_SMOOTHING = 0.1
CONDITION_DROPOUT = 0.1
FULL_MASK = 0.15  # share of examples that are masked all over: there the condition has to do everything
DEEPER_SHARE = 0.25  # share of the masked positions whose deeper levels are trained on at a step
DEEPER_WEIGHT = 0.12
SHORT, TYPICAL = 12, 22  # columns of a canvas: about 2 and 4 s


class GeneratorStage(Stage):
    """Loss of the generator over a frozen tokenizer, prompted with text and, at times, with the sound's embedding.

    Args:
        embed_text: texts -> float32 [n, condition_dim].
        embed_audio: natural-log mel tensor [B, n_mels, frames] -> [B, condition_dim]; None trains on text alone.
        audio_share: share of the examples conditioned on their audio embedding instead of a caption.
        model: to train further; None makes a new one.
    """

    name = "generator"
    validation_batches = 8

    def __init__(
        self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache,
        tokenizer: Tokenizer, embed_text, embed_audio=None, audio_share: float = 0.2, model: Generator | None = None,
    ):  # fmt: skip
        super().__init__(config, options)
        self.tokenizer = tokenizer.to(self.device).eval().requires_grad_(False)
        self.embed_audio, self.audio_share = embed_audio, audio_share if embed_audio else 0.0
        self.makers = {"train": CanvasMaker(train, config.mel), "val": CanvasMaker(val, config.mel)}
        self.captions = CaptionBank([*train.clips, *val.clips], embed_text)
        self.model = model or self._new_model()
        seeds = range(self.validation_batches)
        self.validation = [self._batch("val", np.random.default_rng(i), 32, TYPICAL) for i in seeds]

    def _new_model(self) -> Generator:
        model = Generator(self.config.generator, self.config.tokenizer, self.config.rows)
        model.codebooks.copy_(self.tokenizer.quantizer.codebooks)
        mean, scale = self.captions.statistics()
        model.condition_mean.copy_(mean)
        model.condition_scale.copy_(scale)
        return model

    def loss(self, rng, step):
        columns = self._columns(rng)
        tokens, condition = self._batch("train", rng, self._size(columns), columns)
        mask, dropped = self._hide(rng, tokens.shape[:3])
        hidden = self.model.hidden(tokens, mask, condition, dropped)
        first, deeper = self._cross_entropy(hidden, tokens, mask, rng)
        return first + DEEPER_WEIGHT * deeper, {"first": float(first.detach()), "deeper": float(deeper.detach())}

    def _size(self, columns: int, share: float = 1.0) -> int:
        """Examples a step; the more the shorter they are."""
        return max(1, round(share * self.options.batch * TYPICAL / columns))

    def _hide(self, rng, grid) -> tuple[Tensor, Tensor]:
        """Masks for tokens [B, rows, columns], and bool [B] of the examples that lose their condition."""
        ratio = np.cos(rng.random(grid[0]) * np.pi / 2)
        ratio[rng.random(grid[0]) < FULL_MASK] = 1.0
        mask = self._mask(rng, ratio, grid[1:])
        return mask, torch.from_numpy(rng.random(grid[0]) < CONDITION_DROPOUT).to(self.device)

    def _columns(self, rng) -> int:
        """Mostly short canvases, which show more sounds at the same cost; some as long as the model allows."""
        limit = self.config.generator.max_columns
        choice = rng.choice([SHORT, TYPICAL, limit, int(rng.integers(6, TYPICAL))], p=[0.45, 0.3, 0.1, 0.15])
        return min(int(choice), limit)

    def _cross_entropy(self, hidden: Tensor, tokens: Tensor, mask: Tensor, rng, smoothing=LABEL_SMOOTHING):
        """(first level's mean cross-entropy at masked positions, sum over the deeper levels at some of them)."""
        rows = hidden[mask.flatten(1)]
        codes = tokens.flatten(1, 2)[mask.flatten(1)]
        levels = codes.shape[1]
        tables = self.model.tables()

        def entropy(rows, codes, k):
            logits = self.model.logits(rows, codes, torch.tensor(k, device=self.device), tables)
            return F.cross_entropy(logits, codes[:, k], label_smoothing=smoothing)

        first = entropy(rows, codes, 0)
        if levels == 1:
            return first, first.new_zeros(())
        some = torch.from_numpy(rng.permutation(len(rows))[: max(1, int(len(rows) * DEEPER_SHARE))]).to(self.device)
        rows, codes = rows[some], codes[some]
        deeper = sum(entropy(rows, codes, k) for k in range(1, levels))
        return first, deeper

    def _mask(self, rng, ratio: np.ndarray, grid) -> Tensor:
        """Random masks bool [B, rows, columns] with the given share of True, at least one each."""
        cells = grid[0] * grid[1]
        order = np.argsort(rng.random((len(ratio), cells)), axis=1).argsort(axis=1)
        mask = order < np.maximum(1, np.ceil(ratio * cells))[:, None]
        return torch.from_numpy(mask.reshape(len(ratio), *grid)).to(self.device)

    @torch.no_grad()
    def _batch(self, split: str, rng, size: int, columns: int) -> tuple[Tensor, Tensor]:
        frames = columns * self.config.tokenizer.patch
        drawn = [self.makers[split].draw(rng, frames) for _ in range(size)]
        mel = torch.from_numpy(np.stack([m.T for m, _ in drawn])).to(self.device)
        condition = torch.stack([self.captions.draw(clip, rng) for _, clip in drawn]).to(self.device)
        if self.audio_share:
            chosen = torch.from_numpy(rng.random(size) < self.audio_share).to(self.device)
            condition = torch.where(chosen[:, None], self.embed_audio(mel), condition)
        return self.tokenizer.encode(mel), condition

    def validate(self):
        """First-level cross-entropy: averaged over masks, and fully masked with and without the condition."""
        sums: dict[str, float] = {}
        for i, (tokens, condition) in enumerate(self.validation):
            rng = np.random.default_rng(i)
            partly = self._mask(rng, np.cos(rng.random(len(tokens)) * np.pi / 2), tokens.shape[1:3])
            fully = torch.ones_like(partly)
            for key, mask, drop in (("ce", partly, False), ("ce_full", fully, False), ("ce_full_null", fully, True)):
                dropped = torch.full((len(tokens),), drop, device=self.device)
                hidden = self.model.hidden(tokens, mask, condition, dropped)
                first, _ = self._cross_entropy(hidden, tokens, mask, rng, smoothing=0.0)
                sums[key] = sums.get(key, 0.0) + float(first) / len(self.validation)
        return sums
