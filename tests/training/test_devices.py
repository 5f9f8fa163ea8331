"""A step of each stage on a device of its own: tensors that are left on the CPU are found without a GPU.

Torch's "meta" device computes shapes alone, and refuses operations whose tensors lie on different devices.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.data.clips import open_cache  # noqa: E402
from specmaskgit_cli.models.tokenizer import Tokenizer  # noqa: E402
from specmaskgit_cli.training import material as materials  # noqa: E402
from specmaskgit_cli.training.batch_parts import BatchPart  # noqa: E402
from specmaskgit_cli.training.embedder import EmbedderStage  # noqa: E402
from specmaskgit_cli.training.envelope import EnvelopeStage  # noqa: E402
from specmaskgit_cli.training.generator import GeneratorStage  # noqa: E402
from specmaskgit_cli.training.loop import TrainOptions  # noqa: E402
from specmaskgit_cli.training.tokenizer import FREE_STEPS, RefineStage, TokenizerStage  # noqa: E402

CONFIG = PRESETS["tiny"]
OPTIONS = TrainOptions(batch=4)
META = torch.device("meta")


@pytest.fixture
def clips(sound_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    # There are no generators of random numbers on this device; those of the CPU draw shapes on it as well.
    monkeypatch.setattr(BatchPart, "generator", lambda self, device, stream=0: torch.Generator().manual_seed(0))
    return open_cache([sound_folder], CONFIG.mel, report=lambda _: None)


def embed(texts: list[str]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(texts), 384)).astype(np.float32)


def moved(thing):
    """Tensors, and what holds them, on the device."""
    if isinstance(thing, torch.Tensor):
        return thing.to(META)
    if isinstance(thing, torch.nn.Module):
        return thing.to(META)
    if isinstance(thing, materials.Material):
        return thing.to(META)
    if isinstance(thing, dict):
        return {key: moved(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(moved(value) for value in thing)
    return thing


def on_device(stage):
    """The stage as its constructor would have made it for another device."""
    owners = [stage, *(getattr(stage, name, None) for name in ("train_set", "val_set", "conditions", "captions"))]
    for owner in filter(None, owners):
        for name, value in vars(owner).items():
            setattr(owner, name, moved(value))
    stage.device = META
    return stage


def step(stage, number: int = 0):
    """The gradients of a step; all on the device."""
    part = BatchPart(0, number)
    loss, logs = stage.loss(part, stage.draw(part))
    loss.backward()
    stage.finish(number)
    assert loss.device == META and all(value.device == META for value in logs.values())
    found = [p.grad for p in stage.model.parameters() if p.requires_grad and p.grad is not None]
    assert found and all(gradient.device == META for gradient in found)


def fitted(stage):
    stage.model._fitted = True
    return stage


def test_the_tokenizer(clips):
    stage = fitted(TokenizerStage(CONFIG, OPTIONS, *clips))
    stage.progress = 0.9  # with the statistics of texture
    step(on_device(stage), FREE_STEPS + 1)


def test_the_decoder_alone(clips):
    source = fitted(TokenizerStage(CONFIG, OPTIONS, *clips)).model
    step(on_device(fitted(RefineStage(CONFIG, OPTIONS, *clips, source))))


def test_the_generator(clips):
    codes = Tokenizer(CONFIG.tokenizer, CONFIG.mel)
    stage = GeneratorStage(CONFIG, OPTIONS, *clips, codes, embed, canvases=8)
    for material in stage.material:  # projected in numpy, before
        stage.conditions._styles(material)
    before = dict(stage.conditions._found), dict(stage.conditions._tables)
    own = [id(material) for material in stage.material]
    stage = on_device(stage)
    for name, values in zip(("_found", "_tables"), before, strict=True):
        tables = {id(new): moved(values[old]) for old, new in zip(own, stage.material, strict=True)}
        setattr(stage.conditions, name, tables)
    for number in range(4):  # of several lengths
        step(stage, number)


def test_the_embedder(clips):
    step(on_device(EmbedderStage(CONFIG, OPTIONS, *clips, embed)))


def test_the_envelope(sound_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    waves = open_cache([sound_folder], CONFIG.mel, report=lambda _: None, waves=True)
    config = dataclasses.replace(CONFIG, envelope=dataclasses.replace(CONFIG.envelope, dropout=0.1))
    step(on_device(EnvelopeStage(config, OPTIONS, *waves)))
