"""Training of the generator: masked cross-entropy on tokens of canvases (arXiv 2406.17672, section 3.2)."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning.contour import flagged, follow, smoothed
from ..conditioning.style import Projection, describe
from ..config.settings import CheckpointConfig
from ..data.canvas import SHORT_SECONDS, TYPICAL_SECONDS, CanvasMaker
from ..data.caption_embeddings import CaptionBank, standardisation
from ..data.clips import ClipCache
from ..models.generator import Generator
from ..models.tokenizer import Tokenizer
from .guided import Lesson, told
from .loop import Stage, TrainOptions

SHORTEST = 1.1  # seconds of a canvas
LABEL_SMOOTHING = 0.1
CONDITION_DROPOUT = 0.1
FULL_MASK = 0.15  # share of examples that are masked all over: there the condition has to do everything
DEEPER_SHARE = 0.25  # share of an example's masked positions whose deeper levels are trained on at a step
DEEPER_WEIGHT = 0.12
AUDIO_SHARES = {"text": 0.0, "audio": 1.0, "both": 0.2}  # of the examples conditioned on their own sound, by condition
STATISTICS = 512  # sounds from which those of a condition on audio alone are taken
STYLE_SOUNDS = 2000  # sounds whose principal components are the styles
STYLE_DROPOUT = 0.15
CONTOUR_DROPOUT = 0.2
CONTOUR_GAP = 0.15  # share of the others of whose contour a span is not told, as of a sound with a gap to fill
BRIGHTNESS_DROPOUT = 0.2  # of the others again
CONTOUR_WIDTHS = (1, 1, 1, 3, 7)  # moments over which it is averaged: sketches are coarse


class GeneratorStage(Stage):
    """Loss of the generator over a frozen tokenizer, conditioned on captions or on the sounds' own embeddings.

    Args:
        embed_text: texts -> float32 [n, condition_dim].
        embed_audio: natural-log mel tensor [B, n_mels, frames] -> [B, condition_dim].
        condition: "text", "audio" as in the paper, or "both": one or the other, drawn for each example.
        model: to train further; None makes a new one.
        teacher: whose guidance a model that can be told of it learns, see `guided`.
    """

    name = "generator"
    validation_batches = 8
    guided_share = 0.6  # of the examples, where there is a teacher; the others keep up what the model knows

    def __init__(
        self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache,
        tokenizer: Tokenizer, embed_text, embed_audio=None, condition: str = "text", model: Generator | None = None,
        teacher: Generator | None = None,
    ):  # fmt: skip
        super().__init__(config, options)
        self.settings = {"condition": condition} | self.settings
        self.tokenizer = tokenizer.to(self.device).eval().requires_grad_(False)
        self.embed_audio, self.audio_share = embed_audio, AUDIO_SHARES[condition]
        self.makers = {"train": CanvasMaker(train, config.mel), "val": CanvasMaker(val, config.mel)}
        self.captions, self.model = None, model
        if self.audio_share < 1:
            self.captions = CaptionBank([*train.clips, *val.clips], embed_text, self.device)
        self.model = model or self._new_model()
        self.teacher = teacher and teacher.to(self.device)

    @property
    def styles(self) -> Projection | None:
        """As the model tells them, which may be resumed after it was made."""
        return projection(self.model) if self.model else None

    @functools.cached_property
    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """Tokens and conditions, the same at all times."""
        rngs = (np.random.default_rng(i) for i in range(self.validation_batches))
        return [self._encode(*self._sounds("val", [rng] * 32, self.typical)) for rng in rngs]

    def _new_model(self) -> Generator:
        model = Generator(self.config.generator, self.config.tokenizer, self.config.rows)
        model.codebooks.copy_(self.tokenizer.quantizer.codebooks)
        mean, scale = standardisation(self.captions.embeddings if self.captions else self._some_embeddings())
        model.condition_mean[: len(mean)] = mean
        model.condition_scale[: len(scale)] = scale
        if dims := self.config.generator.style_dims:
            rng, frames = np.random.default_rng(self.options.seed), self.typical * self.config.tokenizer.patch_frames
            drawn = (self.makers["train"].draw(rng, frames)[0].T[None] for _ in range(STYLE_SOUNDS))
            fitted = Projection.fit(np.concatenate([describe(mel, self.config.mel) for mel in drawn]), dims)
            for name, value in vars(fitted).items():
                getattr(model, f"style_{name}").copy_(torch.from_numpy(value))
        return model

    @torch.no_grad()
    def _some_embeddings(self) -> Tensor:
        rngs = [np.random.default_rng([self.options.seed, i]) for i in range(STATISTICS)]
        batches = (rngs[i : i + 32] for i in range(0, STATISTICS, 32))
        mels = (self._sounds("train", batch, self.typical)[0].to(self.device) for batch in batches)
        return torch.cat([self.embed_audio(mel) for mel in mels])

    def draw(self, part, share: float = 1.0):
        """(sounds as `_sounds` gives them, masked positions, those whose deeper levels are trained, dropped conditions,
        scales of guidance, how many masked positions of both kinds there are in all), for `share` of a batch."""
        rng = part.rng()
        columns = self._columns(rng)
        size, grid = self._size(columns, share), (self.config.rows, columns)
        counts = mask_counts(rng, size, grid)
        deeper = np.maximum(1, (counts * DEEPER_SHARE).astype(int))
        totals = int(counts.sum()), int(deeper.sum())
        rngs, examples = part.rngs(size), part.examples(size)
        if not rngs:
            return None
        order = mask_order(rngs, grid)
        masks = (torch.from_numpy(order < n[examples, None, None]) for n in (counts, deeper))
        most = self.model.config.guidance if self.teacher else 0.0
        scale = torch.tensor(
            [most * rng.random() if most and rng.random() < self.guided_share else 0.0 for rng in rngs]
        )
        dropped = torch.tensor([rng.random() < CONDITION_DROPOUT for rng in rngs]) & (scale == 0)
        return self._sounds("train", rngs, columns), *masks, dropped, scale, totals

    def loss(self, part, drawn):
        if drawn is None:
            return torch.zeros((), device=self.device), dict.fromkeys(self.logged, 0.0)
        sounds, mask, some, dropped, scale, totals = drawn
        mask, some, dropped, scale = (t.to(self.device) for t in (mask, some, dropped, scale))
        tokens, condition = self._encode(*sounds)
        hidden, tables, levels = self._hidden(tokens, mask, condition, dropped, scale), self.model.tables(), self.levels
        free = (scale == 0)[:, None, None]
        first = self._cross_entropy(hidden, tokens, mask & free, range(1), tables) / totals[0]
        deeper = self._cross_entropy(hidden, tokens, some & free, levels, tables) / totals[1]
        guided = hidden.new_zeros(())
        if scale.any():  # never without a teacher
            lesson = Lesson.of(self.teacher, tokens, mask, condition, scale)
            guided = guided + lesson.divergence(self.model, hidden, tokens, mask, 0, tables) / totals[0]
            for k in levels:
                divergence = lesson.divergence(self.model, hidden, tokens, some, k, tables)
                guided = guided + DEEPER_WEIGHT * divergence / totals[1]
        logs = zip(self.logged, (first, deeper, guided), strict=False)
        return first + DEEPER_WEIGHT * deeper + guided, {name: float(part.detach()) for name, part in logs}

    @property
    def logged(self) -> tuple[str, ...]:
        return ("first", "deeper", "guided") if self.teacher else ("first", "deeper")

    @property
    def typical(self) -> int:
        """Columns of a typical canvas."""
        return self.config.columns(TYPICAL_SECONDS)

    @property
    def levels(self) -> range:
        """The deeper ones."""
        return range(1, self.config.tokenizer.levels)

    def _hidden(self, tokens, mask, condition, dropped, scale: float | Tensor = 0.0) -> Tensor:
        """The model's states, told the scale of the guidance if it can be."""
        if self.model.config.guidance:
            condition = told(condition, torch.as_tensor(scale, device=self.device).expand(len(condition)))
        return self.model.hidden(tokens, mask, condition, dropped)

    def _size(self, columns: int, share: float = 1.0) -> int:
        """Examples a step; the more the shorter they are."""
        return max(1, round(share * self.options.batch * self.typical / columns))

    def _columns(self, rng) -> int:
        """Mostly short canvases, which show more sounds at the same cost; some as long as the model allows."""
        limit, shortest, short = self.config.generator.max_columns, *map(self.config.columns, (SHORTEST, SHORT_SECONDS))
        other = int(rng.integers(shortest, self.typical))
        choice = rng.choice([short, self.typical, limit, other], p=[0.45, 0.3, 0.1, 0.15])
        return min(int(choice), limit)

    def _cross_entropy(self, hidden: Tensor, tokens: Tensor, where: Tensor, levels, tables, smoothing=LABEL_SMOOTHING):
        """Sum over positions (bool [B, rows, columns]) and levels."""
        rows, codes = hidden[where.flatten(1)], tokens.flatten(1, 2)[where.flatten(1)]
        total = hidden.new_zeros(())
        for k in levels:
            logits = self.model.logits(rows, codes, torch.tensor(k, device=self.device), tables)
            total = total + F.cross_entropy(logits, codes[:, k], label_smoothing=smoothing, reduction="sum")
        return total

    def _sounds(self, split: str, rngs: list, columns: int) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:
        """(mels, embeddings of captions, which are conditioned on the sound instead, what tells of their styles and of
        their contours), one for each generator."""
        frames = columns * self.config.tokenizer.patch_frames
        drawn = [self.makers[split].draw(rng, frames) for rng in rngs]
        mel, text = torch.from_numpy(np.stack([m.T for m, _ in drawn])), None
        if self.captions:
            text = torch.stack([self.captions.draw(clip, rng) for (_, clip), rng in zip(drawn, rngs, strict=True)])
        heard = [self.audio_share > 0 and rng.random() < self.audio_share for rng in rngs]
        style = torch.zeros(len(rngs), 0)
        if styles := self.styles:
            told = torch.tensor([[rng.random() >= STYLE_DROPOUT] for rng in rngs])
            style = torch.from_numpy(styles(mel.numpy(), self.config.mel))
            style = torch.cat([style, torch.ones(len(rngs), 1)], 1) * told
        return mel, text, torch.tensor(heard), style, self._contours(mel.numpy(), rngs)

    def _contours(self, mel: np.ndarray, rngs: list) -> Tensor:
        """What each example is told of its contour, [B, max_columns * contour_size]."""
        config, patch = self.config.generator, self.config.tokenizer.patch_frames
        if not config.contour_steps:
            return torch.zeros(len(rngs), 0)
        told = np.zeros((len(rngs), config.max_columns, config.contour_size), np.float32)
        contours = follow(mel, self.config.mel, patch, config.contour_steps)
        for row, contour, rng in zip(told, contours, rngs, strict=True):
            contour = smoothed(contour, int(rng.choice(CONTOUR_WIDTHS)))
            loudness = np.full(len(contour), rng.random() >= CONTOUR_DROPOUT)
            if rng.random() < CONTOUR_GAP:
                first, last = np.sort(rng.integers(0, len(contour) + 1, 2))
                loudness[first:last] = False
            row[: len(contour)] = flagged(contour, loudness, loudness & (rng.random() >= BRIGHTNESS_DROPOUT))
        return torch.from_numpy(told.reshape(len(rngs), -1))

    @torch.no_grad()
    def _encode(
        self, mel: Tensor, text: Tensor | None, heard: Tensor, style: Tensor, contour: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(tokens, conditions) of what `_sounds` gives."""
        mel, heard = mel.to(self.device), heard.to(self.device)
        if text is None:
            condition = self.embed_audio(mel)
        else:
            condition = text.to(self.device)
            if self.audio_share:
                condition = torch.where(heard[:, None], self.embed_audio(mel), condition)
        return self.tokenizer.encode(mel), torch.cat([contour.to(self.device), condition, style.to(self.device)], 1)

    def validate(self):
        """First-level cross-entropy: averaged over masks, and fully masked with and without the condition. Of a model
        that is taught guidance, also how far it is from the teacher's at half of the most (averaged over masks)."""
        sums: dict[str, float] = {}
        tables, scale = self.model.tables(), self.model.config.guidance / 2 if self.teacher else 0
        for i, (tokens, condition) in enumerate(self.validation):
            rng, grid = np.random.default_rng(i), tokens.shape[1:3]
            counts = np.maximum(1, np.ceil(np.cos(rng.random(len(tokens)) * np.pi / 2) * grid.numel()))
            partly = mask_order([rng] * len(tokens), grid) < counts[:, None, None]
            partly = torch.from_numpy(partly).to(self.device)
            fully = torch.ones_like(partly)
            for key, mask, drop in (("ce", partly, False), ("ce_full", fully, False), ("ce_full_null", fully, True)):
                dropped = torch.full((len(tokens),), drop, device=self.device)
                hidden = self._hidden(tokens, mask, condition, dropped)
                first = self._cross_entropy(hidden, tokens, mask, range(1), tables, smoothing=0.0) / mask.sum()
                sums[key] = sums.get(key, 0.0) + float(first) / len(self.validation)
            if scale:
                hidden = self._hidden(tokens, partly, condition, torch.zeros_like(dropped), scale)
                scales = torch.full((len(tokens),), scale, device=self.device)
                lesson = Lesson.of(self.teacher, tokens, partly, condition, scales)
                far = lesson.divergence(self.model, hidden, tokens, partly, 0, tables) / partly.sum()
                sums["guided"] = sums.get("guided", 0.0) + float(far) / len(self.validation)
        return sums


def projection(model: Generator) -> Projection | None:
    """How a generator tells styles from sounds; None if it does without them."""
    if not model.config.style_dims:
        return None
    return Projection(*(getattr(model, f"style_{name}").cpu().numpy() for name in ("mean", "scale", "basis")))


def mask_counts(rng, size: int, grid: tuple[int, int]) -> np.ndarray:
    """How many positions of each example are masked, at least one: int [size]."""
    ratio = np.cos(rng.random(size) * np.pi / 2)
    ratio[rng.random(size) < FULL_MASK] = 1.0
    return np.maximum(1, np.ceil(ratio * grid[0] * grid[1])).astype(int)


def mask_order(rngs: list, grid: tuple[int, int]) -> np.ndarray:
    """A random order of the positions of a grid for each generator, int [n, *grid]: the first n are masked."""
    drawn = np.stack([rng.random(grid[0] * grid[1]) for rng in rngs])
    return drawn.argsort(axis=1).argsort(axis=1).reshape(len(rngs), *grid)
