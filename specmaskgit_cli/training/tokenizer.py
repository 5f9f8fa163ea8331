"""Training of the tokenizer: an energy score on drawn mels, residual quantiser by moving averages."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.mel import noise_mel
from ..config import CheckpointConfig
from ..models.tokenizer import Tokenizer
from .data import ClipCache
from .loop import Stage, TrainOptions

CROP_COLUMNS = 7
FREE_STEPS = 60  # unquantised steps before k-means fits the codebooks
DECAY = 0.98
REVIVE_EVERY = 20


class TokenizerStage(Stage):
    """Loss: energy score of two draws, L1 of the mean, commitment; metrics in nats of log-mel."""

    name = "tokenizer"

    def __init__(self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache):
        super().__init__(config, options)
        self.train_set, self.val_set = train, val
        self.model = new_tokenizer(config)
        rng = np.random.default_rng(0)
        self.noise = torch.from_numpy(noise_mel(rng, 8192, config.mel))
        self.frames = CROP_COLUMNS * config.tokenizer.patch
        lengths = np.array([c.frames for c in train.clips], np.float64)
        self.weights = np.sqrt(lengths) / np.sqrt(lengths).sum()

    def loss(self, rng, step):
        mel = self.batch(self.train_set, rng, self.options.batch, self.weights)
        tokenizer = self.model.tokenizer
        x = tokenizer.normalize(mel)
        z = tokenizer.latent(x)
        zq, commitment = self.quantize(z, rng, step)
        mean, deviation = tokenizer.distribution(zq)
        first, second = (tokenizer.render(mean, deviation, self.draw_noise(rng, len(x))) for _ in range(2))
        score = energy_score(x, first, second)
        l1 = (mean - x).abs().mean()
        loss = score + 0.3 * l1 + 0.1 * commitment
        nats = (self.config.mel.scale_max - self.config.mel.scale_min) / 2
        logs = {"score": float(score.detach()), "l1": float(l1.detach()) * nats, "used": self.model.used()}
        return loss, logs

    @torch.no_grad()
    def many_latents(self, rng, batches: int = 8) -> Tensor:
        """Latents [n, dim] of random crops, to fit codebooks to."""
        tokenizer = self.model.tokenizer
        crops = (self.batch(self.train_set, rng, self.options.batch, self.weights) for _ in range(batches))
        return torch.cat([tokenizer.latent(tokenizer.normalize(mel)).flatten(0, 2) for mel in crops])

    def quantize(self, z: Tensor, rng, step: int) -> tuple[Tensor, Tensor]:
        """(quantised latents with gradients, commitment loss)."""
        if step < FREE_STEPS:
            return z, z.new_zeros(())
        if not self.model.fitted:
            self.model.fit(self.many_latents(rng))
        return self.model.quantize(z, step)

    def batch(self, clips: ClipCache, rng, size: int, weights=None) -> Tensor:
        """Crops [size, n_mels, frames] filled with clips back to back, at varied levels."""
        floor = self.config.mel.scale_min
        out = np.full((size, self.frames, self.config.mel.n_mels), floor, np.float32)
        for item in out:
            at = 0
            while at < self.frames:
                mel = clips.clip_mel(clips.clips[rng.choice(len(clips.clips), p=weights)])
                begin = rng.integers(0, max(1, len(mel) - self.frames + 1))
                piece = mel[begin : begin + self.frames - at].astype(np.float32)
                if rng.random() < 0.5:
                    piece = piece - rng.uniform(0, 2.3)
                item[at : at + len(piece)] = np.maximum(piece, floor)
                at += len(piece) + rng.integers(0, 20)
        return torch.from_numpy(out).transpose(1, 2).contiguous().to(self.device)

    def draw_noise(self, rng, size: int) -> Tensor:
        starts = rng.integers(0, self.noise.shape[1] - self.frames, size)
        return torch.stack([self.noise[:, s : s + self.frames] for s in starts]).to(self.device)

    def validate(self):
        rng = np.random.default_rng(1)
        tokenizer, sums, count = self.model.tokenizer, {}, 8
        nats = (self.config.mel.scale_max - self.config.mel.scale_min) / 2
        for _ in range(count):
            x = tokenizer.normalize(self.batch(self.val_set, rng, 32))
            z = tokenizer.latent(x)
            codes = tokenizer.quantizer.codes(z)
            mean, deviation = tokenizer.distribution(tokenizer.quantizer.lookup(codes) if self.model.fitted else z)
            draws = [tokenizer.render(mean, deviation, self.draw_noise(rng, len(x))) for _ in range(2)]
            error = (mean - x).abs() * nats
            active = x > -0.5
            found = {
                "score": energy_score(x, *draws), "l1": error.mean(), "l1_active": error[active].mean(),
                "perplexity": perplexity(codes[..., 0], self.config.tokenizer.codebook_size),
            }  # fmt: skip
            for key, value in found.items():
                sums[key] = sums.get(key, 0.0) + float(value) / count
        return sums


class RefineStage(TokenizerStage):
    """Goes on with the decoder of a finished run while encoder and codes stay, so that generators of it stay valid.

    Args:
        source: the finished tokenizer. If `config.tokenizer.levels` is more than it has, the missing levels are fitted
            to what its codes leave, before anything is trained.
    """

    def __init__(
        self,
        config: CheckpointConfig,
        options: TrainOptions,
        train: ClipCache,
        val: ClipCache,
        source: TrainableTokenizer,
    ):
        super().__init__(config, options, train, val)
        self.model.adopt(source)
        if self.model.levels > source.levels:
            latents = self.many_latents(np.random.default_rng(options.seed), batches=40)
            self.model.fit(latents, first=source.levels)
        tokenizer = self.model.tokenizer
        tokenizer.requires_grad_(False)
        for part in (
            tokenizer.from_latent,
            tokenizer.decoder,
            tokenizer.norm_out,
            tokenizer.patch_out,
            tokenizer.texture,
        ):
            part.requires_grad_(True)
        tokenizer.row_out.requires_grad_(True)

    @torch.no_grad()
    def quantize(self, z, rng, step):
        quantizer = self.model.tokenizer.quantizer
        return quantizer.lookup(quantizer.codes(z)), z.new_zeros(())


class TrainableTokenizer(nn.Module):
    """A tokenizer with the running statistics that fit its codebooks (van den Oord et al. 2017, appendix A.1)."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self.tokenizer = tokenizer
        books = tokenizer.quantizer.codebooks
        self.register_buffer("counts", torch.ones(books.shape[:2]))
        self.register_buffer("sums", books.clone())
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))

    @property
    def fitted(self) -> bool:
        return bool(self.is_fitted)

    @property
    def levels(self) -> int:
        return len(self.counts)

    @torch.no_grad()
    def adopt(self, other: TrainableTokenizer) -> None:
        """Take over all weights of a tokenizer that may have fewer levels."""
        mine = self.state_dict()
        for name, tensor in other.state_dict().items():
            shared = mine[name][: len(tensor)] if tensor.ndim else mine[name]
            shared.copy_(tensor)

    def used(self) -> float:
        """Mean share of a level's codes that are in use."""
        return float((self.counts > 0.3).float().mean())

    @torch.no_grad()
    def fit(self, latents: Tensor, first: int = 0) -> None:
        """k-means of each level from `first` on, on what the former left."""
        books = self.tokenizer.quantizer.codebooks
        residual = latents.clone()
        for level, book in enumerate(books):
            if level < first:
                residual = residual - book[nearest(residual, book)]
                continue
            size = len(book)
            pick = torch.randperm(len(residual), device=residual.device)
            book.copy_(residual[pick.repeat(-(-size // len(pick)))[:size]])
            for _ in range(8):
                index = nearest(residual, book)
                counts, sums = assign(index, residual, size)
                filled = counts > 0
                book[filled] = sums[filled] / counts[filled, None]
            index = nearest(residual, book)
            residual = residual - book[index]
            # scaled to the size of one batch, so that moving averages start near their equilibrium
            share = assign(index, residual, size)[0] / len(residual)
            self.counts[level] = share * len(latents) / 8 + 1e-3
        self.sums.copy_(books * self.counts[..., None])
        self.is_fitted.fill_(True)

    def quantize(self, z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Straight-through quantised latents and the commitment loss; updates the codebooks while training."""
        flat = z.reshape(-1, z.shape[-1])
        total = torch.zeros_like(flat)
        books = self.tokenizer.quantizer.codebooks
        with torch.no_grad():
            residual = flat.detach().float()
            for level, book in enumerate(books):
                index = nearest(residual, book)
                chosen = book[index]
                if self.training:
                    counts, sums = assign(index, residual, len(book))
                    self.counts[level].lerp_(counts, 1 - DECAY)
                    self.sums[level].lerp_(sums, 1 - DECAY)
                    if step % REVIVE_EVERY == 0:
                        self._revive(level, residual)
                    book.copy_(self.sums[level] / self.counts[level].clamp(min=1e-5)[:, None])
                total += chosen
                residual = residual - chosen
        commitment = F.mse_loss(flat, total)
        return (flat + (total - flat).detach()).reshape(z.shape), commitment

    def _revive(self, level: int, residual: Tensor) -> None:
        dead = (self.counts[level] < 0.1).nonzero()[:, 0]
        if len(dead):
            pick = torch.randint(len(residual), (len(dead),), device=residual.device)
            self.sums[level][dead] = residual[pick]
            self.counts[level][dead] = 1.0


def new_tokenizer(config: CheckpointConfig) -> TrainableTokenizer:
    """An untrained tokenizer of a configuration, to load a run into."""
    return TrainableTokenizer(Tokenizer(config.tokenizer, config.mel))


def nearest(x: Tensor, book: Tensor) -> Tensor:
    """Index of the nearest row of book [size, dim] for each x [n, dim]."""
    return (x @ book.T - 0.5 * book.square().sum(1)).argmax(1)


def assign(index: Tensor, x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Counts [size] and sums [size, dim] of the x of each index."""
    counts = torch.bincount(index, minlength=size).to(x.dtype)
    return counts, torch.zeros(size, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, index, x)


def energy_score(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Energy score of two draws against x, all [B, n_mels, frames], summed over local features.

    Each feature (the pixel, its differences in time and frequency, local means, contrast in a window) is scored by
    E|x - y| - E|y - y'| / 2, which is least when draws of that feature are distributed as the data: so edges are as
    rough, and means over a neighbourhood as certain, as they are in real spectrograms.
    """

    def size(t, window):
        return t.abs() if window is None else (F.avg_pool2d(t.square()[:, None], window) + 1e-6).sqrt()

    def crps(a, b, c, window=None):
        return (0.5 * (size(a - b, window) + size(a - c, window)) - 0.5 * size(b - c, window)).mean()

    def features(t):
        yield t
        yield t[:, :, 1:] - t[:, :, :-1]
        yield t[:, 1:] - t[:, :-1]
        yield F.avg_pool2d(t[:, None], (2, 4))[:, 0]
        yield F.avg_pool2d(t[:, None], (8, 2))[:, 0]

    score = sum(crps(a, b, c) for a, b, c in zip(features(x), features(first), features(second), strict=True))
    return score + crps(x, first, second, (4, 4)) + crps(x, first, second, (16, 8))


def perplexity(codes: Tensor, size: int) -> Tensor:
    share = torch.bincount(codes.flatten(), minlength=size).float()
    share = share / share.sum()
    return torch.exp(-(share * (share + 1e-9).log()).sum())
