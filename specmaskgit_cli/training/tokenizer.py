"""Training of the tokenizer: an energy score on drawn mels, codebooks by moving averages."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .. import distributed
from ..config.settings import CheckpointConfig
from ..data.canvas import TYPICAL_SECONDS
from ..data.canvas_batches import draw_canvases
from ..data.clips import ClipCache
from ..models.tokenizer import Tokenizer
from .batch_parts import BatchPart, step_rng
from .codebooks import Seen, TrainableTokenizer
from .crops import Crops
from .energy import energy_score, texture_score
from .loop import Stage, TrainOptions

CROP_COLUMNS = 7
CANVASES, CANVASES_PER_CLIP = 10_000, 20  # that the decoder is refined on
FREE_STEPS = 60  # unquantised steps before k-means fits the codebooks
REVIVE_EVERY = 20
DECODER = "from_latent", "row_out", "decoder", "norm_out", "patch_out", "texture", "cells_out", "grain"
REFINE_SHARE = 0.3  # of the learning rates: finished weights are soon lost
UNIT_SECONDS = 0.0116  # of the times in the energy score
FIT, REVIVE = 1, 2  # streams of random choices


class TokenizerStage(Stage):
    """Loss: energy score of two draws, L1 of the mean, commitment; metrics in nats of log-mel."""

    name = "tokenizer"
    drawn_ahead = False
    texture = 1.0  # weight of its statistics in the score
    texture_from = 0.3  # share of the budget before they count: first the codes have to say anything at all
    augmented = True

    def __init__(self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache):
        super().__init__(config, options)
        self.model = new_tokenizer(config)
        self.frames = CROP_COLUMNS * config.tokenizer.patch_frames
        self.wide = config.mel.frames(UNIT_SECONDS)
        self.train_set, self.val_set = (self._crops(clips) for clips in (train, val))
        self.seen: Seen | None = None

    def _crops(self, clips: ClipCache) -> Crops:
        return Crops(clips.mels(), self.config.mel, self.frames, self.device)

    def draw(self, part):
        """A mel and two noises, each [n, n_mels, frames], for the examples of a part; every part draws the batch."""
        size, examples, generator = self.options.batch, part.examples(self.options.batch), part.generator(self.device)
        noises = (self.train_set.draw_noise(size, generator) for _ in range(2))
        return [t[examples] for t in (self.train_set.draw(size, generator, self.augmented), *noises)]

    def loss(self, part, drawn):
        mel, *noise = drawn
        tokenizer = self.model.tokenizer
        x = tokenizer.normalize(mel)
        z = tokenizer.latent(x)
        zq, commitment = self.quantize(z, part)
        mean, *drawn = tokenizer.distribution(zq)
        draws = [tokenizer.render(mean, *drawn, n) for n in noise]
        score = self._score(part, x, *draws)
        l1 = (mean - x).abs().mean()
        loss = score + 0.3 * l1 + 0.1 * commitment
        nats = (self.config.mel.scale_max - self.config.mel.scale_min) / 2
        logs = {"score": score.detach(), "l1": l1.detach() * nats, "used": self.model.used()}
        share = part.share(self.options.batch)
        return share * loss, {key: share * value for key, value in logs.items()}

    def _score(self, part: BatchPart, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        images = [image.to(x.dtype) for image in (x, first, second)]  # draws may be in half precision
        score = energy_score(*images, wide=self.wide)
        batch, begin = self.options.batch, part.examples(self.options.batch).start
        # Every other example of the batch, whichever part it is in; weighted as the mean over all of them.
        chosen = [image[begin % 2 :: 2] for image in images]
        if self.progress < self.texture_from or not len(chosen[0]):
            return score
        share = len(chosen[0]) / ((batch + 1) // 2) / part.share(batch)
        return score + share * texture_score(*chosen, self.wide, self.texture)

    @torch.no_grad()
    def many_latents(self, step: int, batches: int = 8) -> Tensor:
        """Latents [n, dim] of random crops, to fit codebooks to; the processes share the work."""
        tokenizer, size = self.model.tokenizer, batches * self.options.batch
        parts = batches * distributed.size() * self.options.accumulate
        rows = self.config.rows * CROP_COLUMNS
        latents = torch.zeros(size, rows, self.config.tokenizer.codebook_dim, device=self.device)
        for index in range(distributed.rank(), parts, distributed.size()):
            part = BatchPart(self.options.seed, step, index, parts, FIT)
            examples, generator = part.examples(size), part.generator(self.device)
            if examples.start < examples.stop:
                mel = self.train_set.draw(size, generator, self.augmented)[examples]
                latents[examples] = tokenizer.latent(tokenizer.normalize(mel)).flatten(1, 2).float()
        distributed.add_up(latents)
        return latents.flatten(0, 1)

    def fit(self, step: int, batches: int = 8, first: int = 0) -> None:
        """Fit the codebooks from a level on to latents of random crops, alike in all processes."""
        model = self.model.to(self.device)
        model.fit(self.many_latents(step, batches), step_rng(self.options.seed, step, FIT), first)
        distributed.from_first(model.tokenizer.quantizer.codebooks, model.counts, model.sums)

    def quantize(self, z: Tensor, part: BatchPart) -> tuple[Tensor, Tensor]:
        """(quantised latents with gradients, commitment loss)."""
        if part.step < FREE_STEPS:
            return z, z.new_zeros(())
        if not self.model.fitted:
            self.fit(part.step)
        zq, commitment, codes, residuals = self.model.quantize(z)
        cells = self.config.rows * CROP_COLUMNS
        if self.seen is None:
            revive = part.step % REVIVE_EVERY == 0
            self.seen = Seen(self.model.sums, self.options.batch * cells if revive else 0)
        self.seen.add(codes, residuals, part.examples(self.options.batch).start * cells)
        return zq, commitment

    def finish(self, step):
        if self.seen is not None:
            distributed.add_up(*self.seen.tensors)
            self.model.follow(self.seen, step_rng(self.options.seed, step, REVIVE))
            self.seen = None

    def validate(self):
        generator = torch.Generator(self.device).manual_seed(1)
        tokenizer, sums, count = self.model.tokenizer, {}, 8
        nats = (self.config.mel.scale_max - self.config.mel.scale_min) / 2
        for _ in range(count):
            x = tokenizer.normalize(self.val_set.draw(32, generator, augmented=False))
            z = tokenizer.latent(x)
            codes = tokenizer.quantizer.codes(z)
            mean, *drawn = tokenizer.distribution(tokenizer.quantizer.lookup(codes) if self.model.fitted else z)
            draws = [tokenizer.render(mean, *drawn, self.val_set.draw_noise(32, generator)) for _ in range(2)]
            error = (mean - x).abs() * nats
            active = x > -0.5
            found = {
                "score": energy_score(x, *draws, wide=self.wide) + texture_score(x, *draws, self.wide),
                "l1": error.mean(), "l1_active": error[active].mean(),
                "perplexity": perplexity(codes[..., 0], self.config.tokenizer.codebook_size),
            }  # fmt: skip
            for key, value in found.items():
                sums[key] = sums.get(key, 0.0) + float(value) / count
        return sums


class RefineStage(TokenizerStage):
    """Goes on with the decoder of a finished run while encoder and codes stay, so that generators of it stay valid.

    It is given what generators learn, crops of canvases: events and the noise floors between them, every kind as often.

    Args:
        options: the learning rates are those of training from scratch.
        source: the finished tokenizer. If `config.tokenizer.levels` is more than it has, the missing levels are fitted
            to what its codes leave, before anything is trained. Texture layers that it does not have start as new.
    """

    texture, texture_from, augmented = 2.0, 0.0, False

    def __init__(
        self,
        config: CheckpointConfig,
        options: TrainOptions,
        train: ClipCache,
        val: ClipCache,
        source: TrainableTokenizer,
    ):
        lower = {"muon_lr": options.muon_lr * REFINE_SHARE, "adam_lr": options.adam_lr * REFINE_SHARE}
        super().__init__(config, replace(options, **lower, warmup=20, ema=0.99), train, val)
        self.model.adopt(source)
        if self.model.levels > source.levels:
            self.fit(step=0, batches=40, first=source.levels)
        for name, weight in self.model.tokenizer.named_parameters():
            weight.requires_grad_(name.startswith(DECODER))

    def _crops(self, clips):
        """Of canvases instead of clips."""
        count = min(CANVASES, CANVASES_PER_CLIP * len(clips.clips))
        drawn = draw_canvases(
            clips, self.config, count, self.config.columns(TYPICAL_SECONDS), workers=max(1, self.options.workers)
        )
        mels = [mel.T for canvases in drawn for mel in canvases.mel]
        return Crops(mels, self.config.mel, self.frames, self.device)

    @torch.no_grad()
    def quantize(self, z, part):
        quantizer = self.model.tokenizer.quantizer
        return quantizer.lookup(quantizer.codes(z)), z.new_zeros(())


def new_tokenizer(config: CheckpointConfig) -> TrainableTokenizer:
    """An untrained tokenizer of a configuration, to load a run into."""
    return TrainableTokenizer(Tokenizer(config.tokenizer, config.mel))


def perplexity(codes: Tensor, size: int) -> Tensor:
    share = torch.bincount(codes.flatten(), minlength=size).float()
    share = share / share.sum()
    return torch.exp(-(share * (share + 1e-9).log()).sum())
