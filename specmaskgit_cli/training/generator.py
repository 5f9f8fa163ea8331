"""Training of the generator: masked cross-entropy on tokens of canvases (arXiv 2406.17672, section 3.2)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning.style import Projection
from ..config.settings import CheckpointConfig
from ..data.canvas import SHORT_SECONDS, TYPICAL_SECONDS
from ..data.caption_embeddings import CaptionBank, standardisation
from ..data.clips import ClipCache
from ..models.generator import Generator
from ..models.tokenizer import Tokenizer
from .conditions import ExampleConditions
from .guided import Lesson, with_guidance
from .loop import Stage, TrainOptions
from .masks import Masks
from .material import Material, prepare

SHORTEST = 1.1  # seconds of a canvas
LABEL_SMOOTHING = 0.1
CONDITION_DROPOUT = 0.1
DEEPER_SHARE = 0.25  # share of an example's masked positions whose deeper levels are trained on at a step
DEEPER_WEIGHT = 0.12
AUDIO_SHARES = {"text": 0.0, "audio": 1.0, "both": 0.2}  # of the examples conditioned on their own sound, by condition
STYLE_SOUNDS = 2000  # sounds whose principal components are the styles
CANVASES, CANVASES_PER_CLIP = 50_000, 40  # of typical length, drawn before training, at most
LONG_SHARE = 0.1  # as many again, of as many columns as the model takes
VALIDATION_CANVASES = 32


@dataclass(frozen=True)
class Batch:
    """Examples of a step, of one part of it.

    Attributes:
        tokens: int64 [B, rows, columns, levels].
        condition: float32 [B, condition_size], for no guidance.
        masks: what is hidden.
        dropped: bool [B], examples without a condition.
        scale: float32 [B], of the guidance to learn; 0 for none.
        totals: masked cells, and those whose deeper levels count, of all parts together, as tensors.
    """

    tokens: Tensor
    condition: Tensor
    masks: Masks
    dropped: Tensor
    scale: Tensor
    totals: tuple[Tensor, Tensor]


class GeneratorStage(Stage):
    """Loss of the generator over a frozen tokenizer, conditioned on captions or on the sounds' own embeddings.

    Args:
        embed_text: texts -> float32 [n, condition_dim].
        embed_audio: natural-log mel tensor [B, n_mels, frames] -> [B, condition_dim].
        condition: "text", "audio" as in the paper, or "both": one or the other, drawn for each example.
        model: to train further; None makes a new one.
        teacher: whose guidance the model learns, see `guided`.
        canvases: drawn and encoded before training, once for all runs with the same tokenizer and clips; None makes
            as many as the clips are worth, at most CANVASES.
    """

    name = "generator"
    drawn_ahead = False
    validation_batches = 8
    guided_share = 0.6  # of the examples, where there is a teacher; the others keep up what the model knows

    def __init__(
        self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache,
        tokenizer: Tokenizer, embed_text, embed_audio=None, condition: str = "text", model: Generator | None = None,
        teacher: Generator | None = None, canvases: int | None = None,
    ):  # fmt: skip
        super().__init__(config, options)
        canvases = canvases or min(CANVASES, CANVASES_PER_CLIP * len(train.clips))
        self.settings = {"condition": condition, "canvases": canvases} | self.settings
        self.tokenizer = tokenizer.to(self.device).eval().requires_grad_(False)
        self.audio_share = AUDIO_SHARES[condition]
        longest = config.generator.max_columns
        heard = embed_audio if self.audio_share else None
        make = functools.partial(
            prepare, config=config, tokenizer=self.tokenizer, embed_audio=heard, workers=max(1, options.workers),
            device=self.device,
        )  # fmt: skip
        typical = min(self.typical, longest)
        self.material = [make(train, count=canvases, columns=typical)]
        if longest > typical:
            self.material.append(make(train, count=max(1, round(LONG_SHARE * canvases)), columns=longest))
        self.held_out = make(val, count=self.validation_batches * VALIDATION_CANVASES, columns=typical, seed=1)
        self.captions = None
        if self.audio_share < 1:
            self.captions = CaptionBank([*train.clips, *val.clips], embed_text, self.device)
        self.conditions = ExampleConditions(
            config.generator, self.captions, self.audio_share, lambda: projection(self.model)
        )
        for material in self.material:
            self.conditions.describe(material, train)
        self.conditions.describe(self.held_out, val)
        self.model = model or self._new_model()
        self.teacher = teacher and teacher.to(self.device)

    @property
    def styles(self) -> Projection | None:
        """As stored in the model, which may change when a run is resumed."""
        return projection(self.model) if self.model else None

    def _new_model(self) -> Generator:
        model = Generator(self.config.generator, self.config.tokenizer, self.config.rows)
        model.codebooks.copy_(self.tokenizer.quantizer.codebooks)
        known = self.captions.embeddings if self.captions else self.material[0].embeddings.float().cpu()
        mean, scale = standardisation(known)
        model.condition_mean[: len(mean)] = mean
        model.condition_scale[: len(scale)] = scale
        if dims := self.config.generator.style_dims:
            statistics = self.material[0].statistics[:STYLE_SOUNDS].float().cpu().numpy()
            for name, value in vars(Projection.fit(statistics, dims)).items():
                getattr(model, f"style_{name}").copy_(torch.from_numpy(value))
        return model

    def draw(self, part, share: float = 1.0) -> Batch | None:
        """The examples of a part of a batch, or of `share` of it; None where the part has none.

        Every part draws the random numbers of the whole batch and takes its own, so that the batch is the same
        however many parts it has.
        """
        columns = self._columns(part.rng())
        size = self._size(columns, share)
        examples = part.examples(size)
        if examples.start == examples.stop:
            return None
        material = next(m for m in self.material if m.columns >= columns)
        generator = part.generator(self.device)
        uniform = functools.partial(torch.rand, size, generator=generator, device=self.device)
        rows = torch.randint(len(material), (size,), generator=generator, device=self.device)
        first = torch.randint(material.columns - columns + 1, (size,), generator=generator, device=self.device)
        masks = Masks.draw(size, (self.config.rows, columns), generator, self.device)
        most = self.model.config.guidance if self.teacher else 0.0
        scale = most * uniform() * (uniform() < self.guided_share)
        dropped = (uniform() < CONDITION_DROPOUT) & (scale == 0)
        condition = self.conditions.draw(material, rows, first, columns, generator)
        totals = masks.counts.sum(), masks.few(DEEPER_SHARE).sum()
        tokens = self._tokens(material, rows[examples], first[examples], columns)
        return Batch(tokens, condition[examples], masks[examples], dropped[examples], scale[examples], totals)

    def loss(self, part, batch):
        if batch is None:
            return torch.zeros((), device=self.device), dict.fromkeys(self.logged, 0.0)
        tokens, masks, scale = batch.tokens, batch.masks, batch.scale
        hidden = self._hidden(tokens, masks.cells, batch.condition, batch.dropped, scale)
        tables, free = self.model.tables(), (scale == 0)[:, None]
        all_masked = masks.order, masks.ranks < masks.counts[:, None]
        parts = []
        for (places, counted), levels, total in (
            (all_masked, range(1), batch.totals[0]), (masks.some(DEEPER_SHARE), self.levels, batch.totals[1]),
        ):  # fmt: skip
            parts.append(self._cross_entropy(hidden, tokens, places, counted & free, levels, tables) / total)
        if self.teacher:
            parts.append(self._guided(hidden, batch, tables))
        first, deeper, *guided = parts
        logs = dict(zip(self.logged, (part.detach() for part in parts), strict=True))
        return first + DEEPER_WEIGHT * deeper + sum(guided), logs

    def _guided(self, hidden: Tensor, batch: Batch, tables: Tensor) -> Tensor:
        """Divergence from the teacher's guided distributions, weighted as the cross-entropies are."""
        if not batch.scale.any():
            return hidden.new_zeros(())
        masks = batch.masks
        lesson = Lesson.of(self.teacher, batch.tokens, masks.cells, batch.condition, batch.scale)
        total = lesson.divergence(self.model, hidden, batch.tokens, masks.cells, 0, tables) / batch.totals[0]
        some = masks.grid_of(masks.few(DEEPER_SHARE))
        for k in self.levels:
            divergence = lesson.divergence(self.model, hidden, batch.tokens, some, k, tables)
            total = total + DEEPER_WEIGHT * divergence / batch.totals[1]
        return total

    @property
    def logged(self) -> tuple[str, ...]:
        return ("first", "deeper", "guided") if self.teacher else ("first", "deeper")

    @property
    def levels(self) -> range:
        """The deeper ones."""
        return range(1, self.config.tokenizer.levels)

    def _hidden(self, tokens, mask, condition, dropped, scale: float | Tensor = 0.0) -> Tensor:
        """The model's states, given the scale of the guidance if it takes one."""
        if self.model.config.guidance:
            scale = torch.as_tensor(scale, device=self.device).expand(len(condition))
            condition = with_guidance(condition, scale, self.model.config)
        return self.model.hidden(tokens, mask, condition, dropped)

    @property
    def typical(self) -> int:
        """Columns of a typical canvas."""
        return self.config.columns(TYPICAL_SECONDS)

    def _size(self, columns: int, share: float = 1.0) -> int:
        """Examples a step; the more the shorter they are."""
        return max(1, round(share * self.options.batch * self.typical / columns))

    def _columns(self, rng) -> int:
        """Mostly short canvases, which show more sounds at the same cost; some as long as the model allows."""
        limit, shortest, short = self.config.generator.max_columns, *map(self.config.columns, (SHORTEST, SHORT_SECONDS))
        other = int(rng.integers(shortest, self.typical))
        choice = rng.choice([short, self.typical, limit, other], p=[0.45, 0.3, 0.1, 0.15])
        return min(int(choice), limit)

    def _cross_entropy(
        self, hidden: Tensor, tokens: Tensor, places: Tensor, counted: Tensor, levels, tables, smoothing=LABEL_SMOOTHING
    ) -> Tensor:
        """Sum over levels and over the cells `places` int64 [B, n] that count, bool [B, n]."""
        rows = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[2])).flatten(0, 1)
        grid = tokens.flatten(1, 2)
        codes = grid.gather(1, places[..., None].expand(-1, -1, grid.shape[2])).flatten(0, 1)
        weight, total = counted.flatten().to(hidden.dtype), hidden.new_zeros(())
        for k in levels:
            logits = self.model.logits(rows, codes, k, tables)
            found = F.cross_entropy(logits, codes[:, k], label_smoothing=smoothing, reduction="none")
            total = total + (weight * found).sum()
        return total

    def _tokens(self, material: Material, rows: Tensor, first: Tensor, columns: int) -> Tensor:
        """Crops int64 [B, rows, columns, levels] of canvases, each from its column `first` [B] on."""
        inside = first[:, None] + torch.arange(columns, device=self.device)
        return material.tokens.transpose(1, 2)[rows[:, None], inside].transpose(1, 2).long()

    @functools.cached_property
    def _validation(self) -> list[tuple[Tensor, Tensor, Masks]]:
        """Tokens, conditions and masks, the same at all times."""
        found, columns = [], self.held_out.columns
        for index in range(self.validation_batches):
            generator = torch.Generator(self.device).manual_seed(index)
            rows = torch.arange(VALIDATION_CANVASES, device=self.device) + index * VALIDATION_CANVASES
            first = torch.zeros_like(rows)
            condition = self.conditions.draw(self.held_out, rows, first, columns, generator)
            masks = Masks.draw(len(rows), (self.config.rows, columns), generator, self.device)
            found.append((self._tokens(self.held_out, rows, first, columns), condition, masks))
        return found

    def validate(self):
        """First-level cross-entropy: averaged over masks, and fully masked with and without the condition. Of a model
        that is taught guidance, also how far it is from the teacher's at half of the most (averaged over masks)."""
        sums: dict[str, float] = {}
        tables, scale = self.model.tables(), self.model.config.guidance / 2 if self.teacher else 0
        for tokens, condition, masks in self._validation:
            none = torch.zeros(len(tokens), dtype=torch.bool, device=self.device)
            whole = Masks.whole(len(tokens), masks.grid, self.device)
            for key, hid, dropped in (
                ("ce", masks, none),
                ("ce_full", whole, none),
                ("ce_full_null", whole, ~none),
            ):
                hidden = self._hidden(tokens, hid.cells, condition, dropped)
                counted = hid.ranks < hid.counts[:, None]
                total = self._cross_entropy(hidden, tokens, hid.order, counted, range(1), tables, smoothing=0.0)
                found = float((total / hid.counts.sum()).detach())
                sums[key] = sums.get(key, 0.0) + found / len(self._validation)
            if scale:
                hidden = self._hidden(tokens, masks.cells, condition, none, scale)
                scales = torch.full((len(tokens),), scale, device=self.device)
                lesson = Lesson.of(self.teacher, tokens, masks.cells, condition, scales)
                far = lesson.divergence(self.model, hidden, tokens, masks.cells, 0, tables) / masks.counts.sum()
                sums["guided"] = sums.get("guided", 0.0) + float(far) / len(self._validation)
        return sums


def projection(model: Generator) -> Projection | None:
    """How a generator's styles come from sounds; None if it does without them."""
    if not model.config.style_dims:
        return None
    return Projection(*(getattr(model, f"style_{name}").cpu().numpy() for name in ("mean", "scale", "basis")))
