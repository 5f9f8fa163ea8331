"""Fine-tuning: a checkpoint like any other, which knows the new sounds and believes the old things."""

import json
import shutil

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from specmaskgit_cli.checkpoint.layout import inspect_files, load_checkpoint  # noqa: E402
from specmaskgit_cli.cli import run as smg  # noqa: E402
from specmaskgit_cli.conditioning.bank import Bank  # noqa: E402
from specmaskgit_cli.errors import SmgError, UsageError  # noqa: E402
from specmaskgit_cli.pipeline import load  # noqa: E402
from specmaskgit_cli.training import finetune as module  # noqa: E402
from specmaskgit_cli.training.finetune import FinetuneOptions, FinetuneStage, finetune  # noqa: E402
from specmaskgit_cli.training.loop import TrainOptions  # noqa: E402


@pytest.fixture(scope="module")
def new_sounds(tmp_path_factory):
    """Six sweeps, which nothing in the other folder is like."""
    folder = tmp_path_factory.mktemp("sweeps")
    rows = ["file,caption,label,attribution"]
    for i in range(6):
        t = np.arange(int(22050 * 0.8)) / 22050
        soundfile.write(folder / f"{i}.wav", 0.5 * np.sin(2 * np.pi * (300 + 2000 * t) * t * (1 + 0.1 * i)), 22050)
        rows.append(f"{i}.wav,a rising zap,zap_gun,Somebody")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    monkeypatch.setattr(module, "REHEARSED", 8)


@pytest.fixture(scope="module")
def tuned(trained, new_sounds, tmp_path_factory):
    """(checkpoint directory after a few steps by the command, its output)."""
    output = tmp_path_factory.mktemp("tuned") / "zaps"
    arguments = ["train", "finetune", str(new_sounds), "-o", str(output), "--model", str(trained[1])]
    assert smg([*arguments, "--steps", "4", "--batch", "4", "--threads", "1"]) == 0
    return output


def test_the_result_is_a_checkpoint_like_any_other(trained, tuned):
    assert set(inspect_files(tuned).values()) == {"ok"}
    old, new = load_checkpoint(trained[1]), load_checkpoint(tuned)
    assert new.config.name == "zaps" and "Fine-tuned on 6 further clips" in new.config.training_data
    known = json.loads((tuned / "known_sounds.json").read_text())
    assert known == [*json.loads((trained[1] / "known_sounds.json").read_text()), "zap gun"]
    assert len(new.tensors("known_sounds.safetensors")["embeddings"]) == len(known)
    styles, before = (Bank.read(found, len(known)) for found in (new, old))
    np.testing.assert_array_equal(styles.styles[: len(before.styles)], before.styles)
    assert set(styles.sounds[len(before.sounds) :]) == {known.index("zap gun")}
    card = (tuned / "README.md").read_text()
    assert card.startswith("---") and "## Fine-tuning" in card and "4 steps" in card and old.hash in card
    assert "Somebody" in (tuned / "CREDITS.md").read_text()
    assert [path.name for path in tuned.parent.iterdir()] == ["zaps"]
    changed = {name for name in old._sums if old._sums[name] != new._sums[name]}
    assert changed == {
        "generator.safetensors", "config.json", "README.md", "CREDITS.md", "known_sounds.json",
        "known_sounds.safetensors", "styles.safetensors",
    }  # fmt: skip
    assert set(old.tensors("generator.safetensors")) == set(new.tensors("generator.safetensors"))


def test_both_backends_open_it_and_it_knows_the_new_sound(tuned):
    sounds = [load(str(tuned), backend=backend).generate("zap gun", seconds=1, seed=1) for backend in ("onnx", "torch")]
    np.testing.assert_allclose(sounds[0].mel, sounds[1].mel, atol=1e-2)
    assert not sounds[0].warnings
    assert load(str(tuned)).engine.prompts.nearest("zap gun")[0][0] == "zap gun"


def stage_of(checkpoint, folder, steps, tuning, lr=3e-3):
    from specmaskgit_cli.data.clips import open_cache
    from specmaskgit_cli.runtime.torch import TorchRuntime

    options = TrainOptions(minutes=100, steps=steps, batch=8, muon_lr=lr, adam_lr=lr, warmup=2, ema=0.5)
    train, val = open_cache([folder], checkpoint.config.mel, report=lambda _: None)
    known = checkpoint.tensors("known_sounds.safetensors")["embeddings"]
    return FinetuneStage(TorchRuntime(checkpoint, 1), options, tuning, train, val, known)


def test_rehearsal_keeps_what_the_model_believed(trained, new_sounds, tmp_path):
    from specmaskgit_cli.training.loop import load_run, train

    checkpoint = load_checkpoint(trained[1])
    judge = stage_of(checkpoint, new_sounds, 1, FinetuneOptions(rehearsal=0.5))
    with torch.no_grad():
        before = judge.validate()
    assert before["kept"] == pytest.approx(0, abs=1e-4)  # nothing is trained yet
    after = {}
    for name, tuning in (("free", FinetuneOptions(0.0)), ("held", FinetuneOptions(0.5, keep=20.0))):
        stage = stage_of(checkpoint, new_sounds, 40, tuning)
        train(stage, tmp_path / name, report=lambda _: None)
        load_run(tmp_path / name, judge.model)
        with torch.no_grad():
            after[name] = judge.validate()
    assert after["free"]["ce"] < before["ce"] - 0.1 and after["held"]["ce"] < before["ce"]
    assert after["held"]["kept"] < 0.7 * after["free"]["kept"]


def test_a_model_that_does_not_say_what_it_knows_is_adapted_too(trained, new_sounds, tmp_path):
    from specmaskgit_cli.checkpoint.layout import write_sums

    nameless = tmp_path / "nameless"
    shutil.copytree(trained[1], nameless)
    for name in ("known_sounds.json", "known_sounds.safetensors", "README.md"):
        (nameless / name).unlink()
    write_sums(nameless)
    options = TrainOptions(minutes=100, steps=2, batch=2)
    results = finetune(
        load_checkpoint(nameless), new_sounds, tmp_path / "out", options, FinetuneOptions(), report=lambda _: None
    )
    assert np.isfinite(list(results["after"].values())).all() and results["after"]["kept"] >= 0
    assert json.loads((tmp_path / "out" / "known_sounds.json").read_text()) == ["zap gun"]
    assert (tmp_path / "out" / "README.md").read_text().startswith("# out")


def test_finetune_refuses_in_one_line(trained, new_sounds, tuned, tmp_path, capsys):
    model = ["--model", str(trained[1]), "--steps", "1"]
    (tmp_path / "empty").mkdir()
    for arguments, text in (
        ([str(new_sounds), "-o", str(tuned)], "already exists"),
        ([str(tmp_path / "empty"), "-o", str(tmp_path / "x")], "no audio clip"),
        ([str(tmp_path / "none"), "-o", str(tmp_path / "x")], "not a folder"),
        ([str(new_sounds), "-o", str(tmp_path / "x"), "--rehearsal", "1"], "rehearsal is 1"),
        ([str(new_sounds), "-o", str(tmp_path / "x"), "--lr", "0"], "--lr 0"),
    ):
        assert smg(["train", "finetune", *arguments, *model]) in (1, 2)
        assert text in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "x").exists()
    run = tmp_path / ".x.training"
    run.mkdir()
    (run / "options.json").write_text(json.dumps({"model": "another", "clips": "others"}))
    with pytest.raises(SmgError, match="unfinished run"):
        finetune(
            load_checkpoint(trained[1]), new_sounds, tmp_path / "x", TrainOptions(steps=1, batch=2), FinetuneOptions(),
            report=lambda _: None,
        )  # fmt: skip
    with pytest.raises(UsageError):
        FinetuneOptions(keep=-1)
