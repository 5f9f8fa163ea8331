"""A generator that learns to be guided in one pass."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.config.settings import to_dict  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.models.generator import Generator  # noqa: E402
from specmaskgit_cli.training.guided import MOST, Lesson, continued, taught, with_guidance  # noqa: E402
from specmaskgit_cli.training.loop import load_run, run_config  # noqa: E402

TINY = dataclasses.replace(PRESETS["tiny"], generator=dataclasses.replace(PRESETS["tiny"].generator, guidance=MOST))


def generator(config=TINY, seed=0):
    torch.manual_seed(seed)
    model = Generator(config.generator, config.tokenizer, config.rows)
    for block in model.blocks:  # as after some training: what it is told changes something
        torch.nn.init.normal_(block.modulate.weight, std=0.2)
    return model


def plain(condition):
    return with_guidance(condition, torch.zeros(len(condition)), TINY.generator)


def batch(size=6, columns=4):
    torch.manual_seed(1)
    tokens = torch.randint(0, 64, (size, 5, columns, 2))
    return tokens, torch.rand(size, 5, columns) < 0.6, plain(torch.randn(size, TINY.generator.condition_size))


def test_a_lesson_is_the_guided_logits_of_two_passes():
    model, (tokens, mask, condition) = generator(), batch()
    scale = torch.tensor([0, 2.0, 0, 0, 5.0, 0])
    lesson = Lesson.of(model, tokens, mask, condition, scale)
    assert lesson.examples.tolist() == [1, 4] and lesson.scale.tolist() == [2, 5]
    guided = with_guidance(condition, scale, TINY.generator)
    hidden = model.hidden(tokens, mask, guided, torch.zeros(6, dtype=torch.bool))
    for level in range(2):
        wanted = 0.0
        for example in (1, 4):
            where = mask[example].flatten()
            logits = []
            for dropped in (False, True):
                given = tokens[[example]], mask[[example]], condition[[example]]
                states = model.hidden(*given, torch.tensor([dropped]))[0][where]
                logits.append(model.logits(states, tokens[example].flatten(0, 1)[where], torch.tensor(level)))
            goal = F.log_softmax(logits[0] + scale[example] * (logits[0] - logits[1]), -1)
            found = model.logits(hidden[example][where], tokens[example].flatten(0, 1)[where], torch.tensor(level))
            wanted += (goal.exp() * (goal - F.log_softmax(found, -1))).sum()
        divergence = lesson.divergence(model, hidden, tokens, mask, level)
        assert wanted > 0.01
        torch.testing.assert_close(divergence, wanted, rtol=1e-4, atol=1e-4)


def test_what_is_told_comes_to_be_heeded_and_the_teacher_stays():
    model, teacher, (tokens, mask, condition) = generator(), generator(), batch(32)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    kept, found = torch.zeros(32, dtype=torch.bool), []
    for step in range(120):
        scale = MOST * torch.rand(32, generator=torch.Generator().manual_seed(step % 4))
        lesson = Lesson.of(teacher, tokens, mask, condition, scale)
        hidden = model.hidden(tokens, mask, with_guidance(condition, scale, TINY.generator), kept)
        loss = lesson.divergence(model, hidden, tokens, mask, 0) / mask.sum()
        found.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.mean(found[-8:]) < 0.5 * np.mean(found[:8])
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), generator().parameters(), strict=True))


@pytest.mark.parametrize("could", [False, True])
def test_a_run_goes_on_as_it_was_and_is_its_own_teacher(could, tmp_path):
    config = TINY if could else PRESETS["tiny"]
    old = generator(config).eval()
    save_file(old.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(to_dict(config)))
    found, teacher = continued(tmp_path, PRESETS["tiny"])
    assert found.generator == config.generator and all(p.requires_grad for p in teacher.parameters())
    found, new = taught(found, teacher.eval().requires_grad_(False))
    assert found.generator.guidance == new.config.guidance == MOST and teacher.config == config.generator
    tokens, mask, condition = batch()
    dropped = torch.tensor([False, True] * 3)

    def states(model, *scale):
        given = condition[:, : model.config.condition_size]
        if scale:
            given = with_guidance(given, torch.full((6,), *scale), model.config)
        return model.hidden(tokens, mask, given, dropped)

    wanted = states(old, 0.0) if could else states(old)
    torch.testing.assert_close(states(new.eval(), 0.0), wanted)
    torch.testing.assert_close(states(teacher, 0.0) if could else states(teacher), wanted)
    change = (states(new, 3.0) - wanted).abs().amax((1, 2))
    assert (change[~dropped] > 0.01).all() and (change[dropped] == 0).all()
    assert all(p.requires_grad for p in new.parameters()) and not any(p.requires_grad for p in teacher.parameters())

    other = dataclasses.replace(TINY, generator=dataclasses.replace(TINY.generator, condition_dim=7))
    with pytest.raises(SmgError, match="trained on embeddings of 384 numbers, not 7"):
        continued(tmp_path, other)


def test_a_finished_run_is_refined_and_packed(trained, sound_folder, tmp_path, capsys):
    runs, _ = trained
    common = ["train", "generator", "--data", str(sound_folder), "--tokenizer", str(runs["tokenizer"])]
    common += ["--refine", str(runs["generator"]), "--steps", "2", "--batch", "4", "--threads", "1"]
    assert run([*common, "--preset", "tiny", "-o", str(tmp_path / "run")]) == 1
    assert "--preset and --refine" in capsys.readouterr().err
    alone = [word for word in common if word not in ("--refine", str(runs["generator"]))]
    assert run([*alone, "--one-pass", "-o", str(tmp_path / "run")]) == 1
    assert "--one-pass: names no run" in capsys.readouterr().err
    assert run([*common, "-o", str(tmp_path / "plain")]) == 0
    assert "val_guided" not in (tmp_path / "plain" / "metrics.jsonl").read_text()
    assert run([*common, "--one-pass", "-o", str(tmp_path / "run")]) == 0
    options = [json.loads((run / "options.json").read_text()) for run in (runs["generator"], tmp_path / "run")]
    assert [(made["stage"], made["muon_lr"]) for made in options] == [("generator", 0.01)] * 2  # both refined
    before, after = (
        load_run(run, Generator(TINY.generator, run_config(run).tokenizer, TINY.rows)).state_dict()
        for run in (runs["generator"], tmp_path / "run")
    )
    change = (after["token_in.weight"] - before["token_in.weight"]).abs().max()
    assert 0 < change < 0.02  # not from the beginning
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert metrics["val_guided"] > 0
