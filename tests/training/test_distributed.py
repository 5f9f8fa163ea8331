"""Several processes train what one trains: the same examples, the same weights."""

import io
import json
import os
import socket
import subprocess
import sys
import tarfile

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from support.team import STAGES, stage_of, team_member, train_stages  # noqa: E402

from specmaskgit_cli import distributed  # noqa: E402
from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.training import generator, tokenizer  # noqa: E402
from specmaskgit_cli.training.batch_parts import BatchPart  # noqa: E402
from specmaskgit_cli.training.generator import GeneratorStage  # noqa: E402


@pytest.fixture(scope="module")
def trained_together(sound_folder, tmp_path_factory):
    """Run directories of all stages, trained by one process and by two."""
    output = tmp_path_factory.mktemp("together")
    os.environ.setdefault("SMG_CACHE", str(output / "cache"))
    before = tokenizer.FREE_STEPS, tokenizer.REVIVE_EVERY, GeneratorStage.validation_batches, generator.STYLE_SOUNDS
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = port, os.environ["SMG_CACHE"], sound_folder, output
    others = torch.multiprocessing.spawn(team_member, arguments, nprocs=2, join=False)
    train_stages(sound_folder, output / "one")
    while not others.join():
        pass
    yield output
    tokenizer.FREE_STEPS, tokenizer.REVIVE_EVERY, GeneratorStage.validation_batches, generator.STYLE_SOUNDS = before


def same(one, other, file="model.safetensors", share=1e-8):
    """Of the same weights, but for what the order of sums does to a share of their size."""
    one, other = (load_file(path / file) for path in (one, other))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        difference = float((other[name].double() - tensor.double()).square().mean().sqrt())
        assert difference < share * (float(tensor.double().square().mean().sqrt()) + 0.1), name


@pytest.mark.parametrize("name", STAGES)
def test_two_processes_train_what_one_trains(trained_together, name):
    one, two = trained_together / "one" / name, trained_together / "two" / name
    same(one, two)
    same(one, two, "gradients.safetensors")
    first, second = (json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]) for run in (one, two))
    for key in first.keys() - {"minutes"}:
        assert second[key] == pytest.approx(first[key], rel=1e-6, abs=1e-9), key
    assert json.loads((two / "options.json").read_text())["processes"] == 2


def test_all_processes_have_the_same_codebooks(trained_together):
    """To the last bit, although those that they fitted differed."""
    first, other = (torch.load(trained_together / "two" / f"codebooks_{rank}.pt") for rank in range(2))
    alone = torch.load(trained_together / "one" / "codebooks_0.pt")
    for mine, theirs, ours in zip(first, other, alone, strict=True):
        assert torch.equal(mine, theirs) and mine.dtype == torch.float64
        torch.testing.assert_close(mine, ours, rtol=1e-8, atol=1e-9)


def test_a_run_of_two_is_ended_by_one_in_parts(trained_together, sound_folder):
    state = torch.load(trained_together / "halves" / "tokenizer" / "state.pt", weights_only=True)
    assert state["step"] == 2
    train_stages(sound_folder, trained_together / "halves", ["tokenizer"], accumulate=3)
    same(trained_together / "one" / "tokenizer", trained_together / "halves" / "tokenizer")


def test_examples_drawn_ahead_are_the_same(trained_together, sound_folder):
    train_stages(sound_folder, trained_together / "ahead", ["generator"], accumulate=2, workers=1)
    same(trained_together / "one" / "generator", trained_together / "ahead" / "generator")


def test_parts_make_the_same_batch_however_many_they_are():
    whole = [rng.random() for rng in BatchPart(3, 7).rngs(11)]
    for count in (2, 4, 16):
        parts = [BatchPart(3, 7, index, count) for index in range(count)]
        assert [rng.random() for part in parts for rng in part.rngs(11)] == whole
        assert sum(part.share(11) for part in parts) == pytest.approx(1)
        assert {part.rng().random() for part in parts} == {BatchPart(3, 7).rng().random()}
    others = [BatchPart(3, 8), BatchPart(4, 7), BatchPart(3, 7, stream=1)]
    drawn = [rng.random() for part in (*others, BatchPart(3, 7)) for rng in (part.rng(), *part.rngs(11))]
    assert len(set(drawn)) == len(drawn)


def test_torchrun_trains_by_the_same_command(sound_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    shards = tmp_path / "shards"
    shards.mkdir()
    for i, take in enumerate((1, 2, 1)):
        with tarfile.open(shards / f"{i}.tar", "w") as tar:
            for path in sorted(sound_folder.glob(f"*{take}.wav")):
                tar.add(path, f"{path.stem}.wav")
                text = tarfile.TarInfo(f"{path.stem}.txt")
                text.size = 4
                tar.addfile(text, io.BytesIO(b"rain"))
    command = ["train", "vocoder", "--data", str(shards), "--preset", "tiny", "--steps", "2", "--batch", "3"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = ["-m", "specmaskgit_cli", *command, "-o", str(tmp_path / "two"), "--threads", "1"]
    done = subprocess.run([*torchrun, *two], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("clips to train on") == done.stderr.count("validation mel") == 1
    assert len(list((tmp_path / "cache" / "clips").iterdir())) == 3  # two were decoded by the other process
    assert run([*command, "-o", str(tmp_path / "one"), "--threads", "1"]) == 0
    same(tmp_path / "one", tmp_path / "two", share=1e-3)
    monkeypatch.setattr(distributed, "_size", 4)
    monkeypatch.setattr(distributed, "join", lambda device: device)
    assert run([*command, "-o", str(tmp_path / "more")]) == 1 and not (tmp_path / "more").exists()
    assert run(["train", "finetune", str(sound_folder), "-o", str(tmp_path / "tuned"), "--steps", "1"]) == 1


def test_a_part_without_examples_adds_nothing(sound_folder):
    stage = stage_of("generator", sound_folder)
    part = BatchPart(0, 0, index=0, count=1000)
    assert stage.draw(part) is None
    loss, logs = stage.loss(part, None)
    assert not loss.requires_grad and logs.keys() == stage.loss(BatchPart(0, 0), stage.draw(BatchPart(0, 0)))[1].keys()
