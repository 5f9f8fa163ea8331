"""All tasks on a full-band front end with patches that are not square, by a tiny model with random weights."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch

from specmaskgit_cli.checkpoint.building import new_checkpoint
from specmaskgit_cli.checkpoint.layout import load_checkpoint, write_config
from specmaskgit_cli.conditioning.condition import Condition
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.decoding.settings import DecodeSettings
from specmaskgit_cli.export.graphs import save_half, share
from specmaskgit_cli.models.parts import NETWORKS
from specmaskgit_cli.options import (
    Box,
    ContinueOptions,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SketchOptions,
    VaryOptions,
)
from specmaskgit_cli.pipeline import Pipeline
from specmaskgit_cli.runtime import open_runtime
from specmaskgit_cli.synthesis.engine import Draw, Share, rng_of
from specmaskgit_cli.tasks import task_of
from specmaskgit_cli.tasks.source import Source

RATE = 44100


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    tiny, full = PRESETS["tiny"], PRESETS["full"]
    tokenizer = replace(tiny.tokenizer, patch_frames=full.tokenizer.patch_frames, cell_frames=8)
    config, folder, models = replace(tiny, mel=full.mel, tokenizer=tokenizer), tmp_path_factory.mktemp("full"), {}
    torch.manual_seed(0)
    with new_checkpoint(folder / "model") as building:
        for section, network in NETWORKS.items():
            if network.present(config):
                models[section] = network.build(config)
                share(network, models)
                save_half(models[section], building / network.weights, skip=network.shared)
        write_config(config, building)
    checkpoint = load_checkpoint(folder / "model")
    return Pipeline(checkpoint, open_runtime(checkpoint, "torch", threads=1))


@pytest.mark.parametrize(
    "options, seconds",
    [
        (InpaintOptions("x", boxes=(Box(0.5, 0.8),)), 2),
        (InpaintOptions("x", boxes=(Box(0.5, 0.8, 9000, 15000),)), 2),
        (ContinueOptions("x", seconds=0.5), 2.5),
        (ExtendOptions("x", cutoff=12000), 2),
        (VaryOptions("x", amount=0.3), 2),
        (LoopOptions("x", join=0.3), 2),
    ],
)
def test_edits_have_the_right_length_and_leave_the_rest_alone(pipe, options, seconds):
    samples = (np.random.default_rng(0).standard_normal((2, 2 * RATE)) * 0.1).astype(np.float32)
    (sound,) = pipe.make(replace(options, seed=1, steps=1), source=Source(samples, RATE))
    assert sound.rate == RATE and sound.samples.shape == (2, round(seconds * RATE))
    assert np.isfinite(sound.samples).all()
    same = (sound.samples[:, : 2 * RATE] == samples).all(axis=0).mean()
    wanted = {"inpaint": 0.85, "continue": 1, "extend": 0, "vary": 0, "loop": 0.83}[task_of(options).name]
    assert same == pytest.approx(wanted, abs=0.05)


def test_new_sounds_and_sketches_are_as_long_as_asked_for(pipe):
    config = pipe.config.generator
    condition = Condition(np.full((1, config.condition_dim), config.condition_dim**-0.5, np.float32))
    draw = Draw(condition, None, DecodeSettings(steps=1), rng_of(1))
    assert pipe.engine.generate(draw, 0.5).mel.shape == (96, -(-RATE // 2 // 256))
    samples = (np.random.default_rng(0).standard_normal((1, RATE)) * 0.1).astype(np.float32)
    options = SketchOptions("x", prompt="rain", seed=1)
    made = task_of(options).run(pipe.engine, replace(draw, progress=Share()), Source(samples, RATE), options)
    assert made.samples.shape == (1, RATE) and np.isfinite(made.samples).all()
