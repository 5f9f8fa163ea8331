"""Members of a team of training processes, for the tests of several processes.

They lie here because a process that is started imports what it runs by name, and finds this folder on its path.
"""

import contextlib
import dataclasses
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from specmaskgit_cli import distributed
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.data.clips import open_cache
from specmaskgit_cli.models.embedder import AudioTower
from specmaskgit_cli.models.tokenizer import Tokenizer
from specmaskgit_cli.training import generator, loop, tokenizer
from specmaskgit_cli.training.batch_parts import BatchPart
from specmaskgit_cli.training.crops import Crops
from specmaskgit_cli.training.embedder import EmbedderStage
from specmaskgit_cli.training.envelope import EnvelopeStage
from specmaskgit_cli.training.generator import GeneratorStage
from specmaskgit_cli.training.vocoder import VocoderStage

STEPS, BATCH = 3, 5  # which two processes cannot share evenly
STAGES = "tokenizer", "embedder", "generator", "vocoder", "envelope"


@contextlib.contextmanager
def double_precision():
    """float64 for float32: codes and the directions of updates hang on roundings, which the order of sums changes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("from_numpy", "tensor"):
            patch.setattr(torch, name, widened(getattr(torch, name)))
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def widened(make):
    def wide(*args, **options):
        made = make(*args, **options)
        return made.double() if made.dtype == torch.float32 else made

    return wide


class NoisyCrops(Crops):
    def draw(self, size, generator, augmented=True):
        mel = super().draw(size, generator, augmented)
        return mel + torch.rand(mel.shape, generator=generator)


class NoisyTokenizerStage(tokenizer.TokenizerStage):
    """Its sounds lie in noise: silence would give equal codewords, between which nothing but rounding chooses."""

    def __init__(self, *args):
        super().__init__(*args)
        self.fit_model, self.model.fit = self.model.fit, self.fit_unlike_others

    def _crops(self, clips):
        return NoisyCrops(clips.mels(), self.config.mel, self.frames, self.device)

    def fit_unlike_others(self, *args):
        """As it may be on another machine; and some codes are too rare to stay."""
        self.fit_model(*args)
        for tensor in (self.model.counts, self.model.sums):
            tensor[:, :4] /= 100
        for tensor in fitted(self.model):
            tensor += distributed.rank()


def fitted(model):
    return model.tokenizer.quantizer.codebooks, model.counts, model.sums


def embed_text(texts):
    """Embeddings that differ, without a text encoder."""
    rows = [np.random.default_rng(list(text.encode())).standard_normal(384) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(-1, 384)


def stage_of(name, folder, accumulate=1, workers=0):
    config = PRESETS["tiny"]
    train, val = open_cache([folder], config.mel, report=lambda _: None)
    options = loop.TrainOptions(
        steps=STEPS, batch=BATCH, minutes=1000, accumulate=accumulate, workers=workers, warmup=2, ema=0.5
    )
    if name == "tokenizer":
        return NoisyTokenizerStage(config, options, train, val)
    if name == "embedder":
        return EmbedderStage(config, options, train, val, embed_text)
    if name == "vocoder":
        config = dataclasses.replace(config, vocoder=dataclasses.replace(config.vocoder, kind="vocos"))
        return VocoderStage(config, options, train, val)
    if name == "envelope":
        return EnvelopeStage(config, options, train, val)
    torch.manual_seed(1)
    codes, tower = Tokenizer(config.tokenizer, config.mel), AudioTower(config.embedder, config.mel)
    return GeneratorStage(config, options, train, val, codes, embed_text, tower.requires_grad_(False), "both")


def train_stages(folder, output, names=STAGES, **options):
    torch.set_num_threads(1)
    GeneratorStage.validation_batches, generator.STYLE_SOUNDS = 1, 64
    tokenizer.FREE_STEPS, tokenizer.REVIVE_EVERY = 1, 2  # codebooks are fitted in step 1, unused codes revived in 2
    with double_precision():
        for name in names:
            stage = stage_of(name, folder, **options)
            save_gradients(stage, output / name)
            loop.train(stage, output / name, report=lambda _: None)
            if name == "tokenizer":
                torch.save(fitted(stage.model), output / f"codebooks_{distributed.rank()}.pt")


def save_gradients(stage, directory):
    """Those of a first step, added up: the optimizers would hide it if they were all twice as large."""
    part = BatchPart(0, 0, distributed.rank(), distributed.size())
    stage.loss(part, stage.draw(part))[0].backward()
    distributed.add_up_gradients(stage.model)
    directory.mkdir(parents=True, exist_ok=True)
    if not distributed.rank():
        found = {name: p.grad for name, p in stage.model.named_parameters() if p.grad is not None}
        save_file(found, directory / "gradients.safetensors")
    stage.model.zero_grad()


def interrupted(stage, step):
    """Make a stage fail at a step."""
    loss = stage.loss

    def failing(part, drawn):
        if part.step == step:
            raise KeyboardInterrupt
        return loss(part, drawn)

    stage.loss = failing
    return stage


def team_member(rank, port, cache, folder, output):
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "SMG_CACHE": cache, "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    assert distributed.join("cpu") == "cpu" and (distributed.rank(), distributed.size()) == (rank, 2)
    train_stages(folder, output / "two")
    with double_precision(), pytest.raises(KeyboardInterrupt):
        stage = interrupted(stage_of("tokenizer", folder), 2)
        loop.train(stage, output / "halves" / "tokenizer", report=lambda _: None)
    distributed.leave()
