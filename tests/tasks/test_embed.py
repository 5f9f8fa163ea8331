"""Features from the generator's hidden layers, and the linear probe on them."""

import csv
import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import soundfile
from support.json_page import parsed

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from specmaskgit_cli.checkpoint.layout import load_checkpoint, write_sums
from specmaskgit_cli.cli import run
from specmaskgit_cli.conditioning.bank import Manner, joined
from specmaskgit_cli.data.labels import LabelledClip, read_labelled
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.evaluation.probe import ProbeOptions, probe
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.runtime import open_runtime
from specmaskgit_cli.tasks.embed import EmbedOptions, embed_wave, windows


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]))


def noise(seconds, seed=0, rate=22050):
    return np.random.default_rng(seed).standard_normal(round(seconds * rate)).astype(np.float32) * 0.1


def test_runtimes_agree_on_features_and_the_last_is_what_hidden_normalises(trained):
    runtimes = [open_runtime(load_checkpoint(trained[1]), backend) for backend in ("onnx", "torch")]
    config, rng = runtimes[0].config, np.random.default_rng(0)
    tokens = rng.integers(0, 64, (2, 5, 7, 2))
    mask, dropped = rng.random((2, 5, 7)) < 0.3, np.array([True, False])
    style = rng.standard_normal((1, config.generator.style_dims)).astype(np.float32)
    condition = joined(runtimes[0].embed_text(["rain", "dog barking"]), Manner(style), config.generator)
    condition = np.pad(condition, ((0, 0), (0, 1)))  # no guidance
    a, b = (r.features(tokens, mask, condition, dropped) for r in runtimes)
    assert a.shape == (2, config.generator.layers + 1, 35, config.generator.width)
    np.testing.assert_allclose(a, b, atol=1e-4)
    hidden = runtimes[0].hidden(tokens, mask, condition, dropped, np.tile(np.arange(35), (2, 1)))
    weights = runtimes[0].weights("generator")
    last = (a[:, -1] - a[:, -1].mean(-1, keepdims=True)) / np.sqrt(a[:, -1].var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(last * weights["norm.weight"] + weights["norm.bias"], hidden, atol=1e-4)
    assert np.abs(a[:, 0] - a[:, -1]).max() > 1e-3


def test_padding_is_left_out_and_the_clip_is_the_mean_of_its_frames(pipe, trained):
    column = pipe.config.column_samples
    for samples, frames in ((10, 1), (column, 1), (3 * column + 100, 3), (3 * column - 100, 3)):
        found = embed_wave(pipe.runtime, noise(1)[:samples], EmbedOptions())
        assert found.frames.shape == (frames, pipe.config.generator.layers + 1, pipe.config.generator.width)
        np.testing.assert_allclose(found.frames.mean(0), found.clip, atol=1e-5)
        assert found.summary.shape == (3, 2 * 5 * pipe.config.generator.width)
    assert found.seconds_per_frame == pytest.approx(4096 / 22050)
    assert np.isfinite(embed_wave(pipe.runtime, np.zeros(5000, np.float32), EmbedOptions()).clip).all()


def test_long_sounds_are_seen_in_windows(pipe):
    assert windows(120, 53) == [(0, 53, 0), (53, 106, 53), (67, 120, 106)]
    assert windows(10, 53) == [(0, 10, 0)] and windows(106, 53) == [(0, 53, 0), (53, 106, 53)]
    column = pipe.config.column_samples
    wave = noise(60 * column / 22050)
    wave[100] = 0.9  # the level is that of the whole sound
    long = embed_wave(pipe.runtime, wave, EmbedOptions())
    assert len(long.frames) == 60
    tail = wave[7 * column :].copy()
    part = embed_wave(pipe.runtime, tail * 0.9 / np.abs(wave).max() * 1.0, EmbedOptions())
    assert len(part.frames) == 53 and np.abs(long.frames[-1] - part.frames[-1]).mean() < np.abs(long.frames).mean()
    np.testing.assert_allclose(long.frames.mean(0), long.clip, atol=1e-5)


def test_hidden_tokens_and_chosen_layers(pipe):
    wave = noise(1)
    full, again, part, other = (
        embed_wave(pipe.runtime, wave, options)
        for options in (
            EmbedOptions(), EmbedOptions(seed=1), EmbedOptions(masked=0.5), EmbedOptions(masked=0.5, seed=1)
        )
    )  # fmt: skip
    assert np.array_equal(full.clip, again.clip)
    assert not np.allclose(full.clip, part.clip) and not np.allclose(part.clip, other.clip)
    one = embed_wave(pipe.runtime, wave, EmbedOptions(layers=(2,)))
    assert one.layers == (2,) and np.array_equal(one.clip[0], full.clip[2])
    for bad in ({"masked": 1.0}, {"masked": -0.1}, {"seed": -1}):
        with pytest.raises(UsageError):
            EmbedOptions(**bad)
    with pytest.raises(UsageError, match="layer is 9; this model has 0 to 2"):
        embed_wave(pipe.runtime, wave, EmbedOptions(layers=(9,)))


def test_embed_writes_what_python_gives(pipe, trained, tmp_path, capsys):
    files = [tmp_path / "a.wav", tmp_path / "b.flac"]
    soundfile.write(files[0], np.stack([noise(0.5, rate=48000), noise(0.5, 1, 48000)], 1), 48000)
    soundfile.write(files[1], noise(0.9, rate=8000), 8000)
    out = tmp_path / "x.npz"
    names = [str(file) for file in files]
    assert run(["embed", *names, "-o", str(out), "--model", str(trained[1]), "--json"]) == 0
    report = parsed(capsys.readouterr().out)
    assert report["frames"] == [3, 5] and report["model_hash"] == pipe.checkpoint.hash
    with np.load(out) as found:  # no pickles
        assert list(found["files"]) == names and str(found["model_hash"]) == pipe.checkpoint.hash
        assert list(found["layer_names"]) == ["input", "layer 1", "layer 2"]
        assert found["clip"].shape == (2, 3, 32) and found["frames_1"].shape == (5, 3, 32)
        np.testing.assert_allclose(found["clip"][0], pipe.embed(files[0]).clip, atol=1e-5)
    assert run(["embed", names[0], "-o", str(out), "--model", str(trained[1]), "--layer", "1", "-q"]) == 0
    with np.load(out) as found:
        assert found["clip"].shape == (1, 1, 32)


def test_embed_refuses_in_one_line(trained, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(trained[1], old)
    (old / "onnx" / "features.onnx").unlink()
    write_sums(old)
    wav = tmp_path / "a.wav"
    soundfile.write(wav, noise(0.3), 22050)
    out, model = str(tmp_path / "x.npz"), ["--model", str(trained[1])]
    for arguments, text in (
        ([str(wav), "-o", out, "--model", str(old)], "has no onnx/features.onnx; pack it again"),
        ([str(wav), "-o", str(tmp_path / "x.txt"), *model], "end the name in .npz"),
        ([str(wav), "-o", out, "--layer", "top", *model], "layer is 'top'"),
        ([str(wav), "-o", out, "--layer", "3", *model], "layer is 3; this model has 0 to 2"),
        ([str(tmp_path / "none.wav"), "-o", out, *model], "no such file"),
    ):
        assert run(["embed", *arguments]) in (1, 2)
        error = capsys.readouterr().err
        assert text in error and len(error.splitlines()) == 1
    assert not (tmp_path / "x.npz").exists()
    assert run(["embed", str(wav), "-o", out, "--model", str(old), "--backend", "torch", "-q"]) == 0


def test_labels_come_from_folders_tables_and_shards(tmp_path, sound_folder):
    wave = (sound_folder / "rain 1.wav").read_bytes()
    for name in ("rain/a.wav", "rain/deep/b.wav", "dog/c.wav"):
        (tmp_path / "folders" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folders" / name).write_bytes(wave)
    assert [(c.key, c.labels, c.fold) for c in read_labelled(tmp_path / "folders")] == [
        ("dog/c.wav", ("dog",), None), ("rain/a.wav", ("rain",), None), ("rain/deep/b.wav", ("rain",), None)
    ]  # fmt: skip
    table = tmp_path / "tags.csv"
    table.write_text("filename,tags,split\nrain/a.wav,rain| loud,2-9.ogg\ndog/c.wav,,test\n")
    found = read_labelled(tmp_path / "folders", table, fold="split")
    assert [(c.key, c.labels, c.fold) for c in found] == [("rain/a.wav", ("rain", "loud"), "2")]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for key, source in (("p", "mine"), ("q", "theirs")):
            info = json.dumps({"label": "rain", "source": source, "fold": 3}).encode()
            for suffix, data in ((".wav", wave), (".json", info)):
                entry = tarfile.TarInfo(key + suffix)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    found = read_labelled(tmp_path / "x.tar", where={"source": "theirs"})
    assert [(c.key, c.labels, c.fold) for c in found] == [("q", ("rain",), "3")]
    table.write_text("name,tags\n")
    for data, csv_file in ((tmp_path / "folders", table), (tmp_path / "folders", tmp_path / "no.csv")):
        with pytest.raises(SmgError):
            read_labelled(data, csv_file)
    table.write_text("file,label\nmissing.wav,rain\n")
    with pytest.raises(SmgError, match="missing.wav"):
        read_labelled(tmp_path / "folders", table)


def clips_of(labels, folds=None):
    return [LabelledClip(str(i), b"", tuple(ls), folds and folds[i]) for i, ls in enumerate(labels)]


def test_the_probe_finds_what_is_linearly_there_and_nothing_else():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 120)
    features = {
        "there": (np.eye(3)[kinds] * 3 + rng.standard_normal((120, 3))).astype(np.float32),
        "absent": rng.standard_normal((120, 3)).astype(np.float32),
    }
    for folds in (None, [str(i % 4) for i in range(120)], ["test" if i % 3 else "train" for i in range(120)]):
        found = probe(features, clips_of([["abc"[k]] for k in kinds], folds), ProbeOptions(strength=1.0))
        assert found["there"]["accuracy"] > 0.85 and found["there"]["auc"] > 0.95
        assert 0.1 < found["absent"]["accuracy"] < 0.55 and 0.35 < found["absent"]["auc"] < 0.65
    several = [["abc"[k], *(["d"] if x > 0 else [])] for k, x in zip(kinds, features["absent"][:, 0], strict=True)]
    found = probe(features, clips_of(several), ProbeOptions(strength=1.0))
    assert "accuracy" not in found["there"] and found["there"]["auc"] > found["absent"]["auc"] > 0.5
    with pytest.raises(SmgError, match="two labels"):
        probe(features, clips_of([["a"]] * 120), ProbeOptions())
    with pytest.raises(UsageError):
        ProbeOptions(folds=1)


def test_probe_prints_a_table_and_keeps_features(trained, sound_folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "fold"])
        for path in sorted(sound_folder.glob("*.wav")):
            writer.writerow([path.name, path.stem[:-2], path.stem[-1]])
    arguments = ["probe", str(sound_folder), "--labels", str(table), "--model", str(trained[1])]
    arguments += ["--cache", str(tmp_path / "cache.npz"), "-o", str(tmp_path / "report.json")]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:22].strip() for line in lines[1:]] == ["log-mel", "input", "layer 1", "layer 2", "audio tower"]
    assert lines[0].split() == ["features", "accuracy", "map", "auc", "deviation"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clips"] == 10 and report["features"]["log-mel"]["accuracy"] >= 0.5
    from specmaskgit_cli.evaluation import probe as module

    monkeypatch.setattr(module, "read_wave", None)  # the features are not computed again
    assert run([*arguments, "--json"]) == 0
    assert parsed(capsys.readouterr().out)["features"] == report["features"]
