"""A whole training on a machine that is rented by the minute: the bundle, the stages side by side, the way home."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from support.json_page import parsed  # noqa: E402

from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.data.bundle import PackedTexts, write_bundle  # noqa: E402
from specmaskgit_cli.data.clips import open_cache  # noqa: E402
from specmaskgit_cli.data.sources import iterate_clips  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.training import portable  # noqa: E402
from specmaskgit_cli.training.campaign import Campaign, Plan  # noqa: E402
from specmaskgit_cli.training.portable import export_run, import_runs  # noqa: E402


def embed(texts: list[str]) -> np.ndarray:
    rows = [np.random.default_rng(list(text.encode())).standard_normal(384) for text in texts]
    return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(sound_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle([sound_folder], folder, 1, embed, report=lambda _: None)
    return folder


def test_a_bundle_holds_all_clips_and_texts(bundle, sound_folder, tmp_path):
    cfg = PRESETS["tiny"].mel
    small, whole = (open_cache([folder], cfg, tmp_path, lambda _: None) for folder in (bundle, sound_folder))
    captions = [sorted(clip.caption for cache in caches for clip in cache.clips) for caches in (small, whole)]
    assert captions[0] == captions[1] and len(captions[0]) == 10
    one = next(clip for cache in small for clip in cache.clips if clip.caption == "rain")
    assert one.frames > 40
    texts = PackedTexts(bundle / "texts.safetensors")
    assert texts.dim == 384
    np.testing.assert_allclose(texts(["rain"]), embed(["rain"]), atol=1e-3)
    with pytest.raises(SmgError, match="'thunder' is not among the packed texts"):
        texts(["thunder"])


def test_a_bundle_of_a_bundle_copies_its_clips(bundle, tmp_path):
    write_bundle([bundle], tmp_path / "copy", 1, embed, None, report=lambda _: None)
    one, other = (
        sorted(audio.read_bytes() for _, audio, _ in iterate_clips(folder / "train-0000.tar"))
        for folder in (bundle, tmp_path / "copy")
    )
    assert one == other and len(one) == 10


def test_sources_that_are_held_out_are_left_out(tmp_path, sound_folder):
    data = tmp_path / "data"
    data.mkdir()
    for index, path in enumerate(sorted(sound_folder.glob("rain*.wav"))):
        (data / path.name).write_bytes(path.read_bytes())
        document = {"caption": f"rain {index}", "source": f"place {index}"}
        (data / path.name).with_suffix(".json").write_text(json.dumps(document))
    write_bundle([data], tmp_path / "bundle", 1, embed, 32, frozenset({"place 0"}), report=lambda _: None)
    train, _ = open_cache([tmp_path / "bundle"], PRESETS["tiny"].mel, tmp_path / "cache", report=lambda _: None)
    assert {clip.caption for clip in train.clips} == {"rain 1"}
    train, _ = open_cache(
        [data], PRESETS["tiny"].mel, tmp_path / "cache", report=lambda _: None, hold_out=frozenset({"place 0"})
    )
    assert {clip.caption for clip in train.clips} == {"rain 1"}


def test_weights_come_home_in_small_files(trained, tmp_path, monkeypatch):
    runs, _ = trained
    monkeypatch.setattr(portable, "PART_BYTES", 60_000)
    for stage in ("tokenizer", "generator"):
        files = export_run(runs[stage], tmp_path / "out")
        assert len(files) > 1 and all(file.stat().st_size < 120_000 for file in files)
    made = import_runs(tmp_path / "out", tmp_path / "runs")
    assert made.keys() == {"tokenizer", "generator"}
    for stage, home in made.items():
        before, after = (load_file(folder / "model.safetensors") for folder in (runs[stage], home))
        assert before.keys() == after.keys()
        for name, tensor in before.items():
            if tensor.is_floating_point() and name != "sums":
                limit = 0.01 if stage == "generator" and tensor.ndim == 2 else 1e-3
                assert float((after[name] - tensor).abs().max()) <= limit * float(tensor.abs().max()) + 1e-6, name
        assert json.loads((home / "options.json").read_text()) == json.loads((runs[stage] / "options.json").read_text())
    (tmp_path / "out" / "generator.2.safetensors").unlink()
    with pytest.raises(SmgError, match="generator.2.safetensors is missing"):
        import_runs(tmp_path / "out", tmp_path / "again")
    with pytest.raises(SmgError, match="holds no exported run"):
        import_runs(tmp_path / "runs", tmp_path / "again")


def test_a_campaign_ends_on_time_with_all_stages(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("specmaskgit_cli.training.campaign.SPARE_SECONDS", 5)
    plan = Plan(batches=dict.fromkeys(Plan().batches, 4), tokenizer=(0, 0.5), generator=(0.5, 1), refine=(0.5, 0.9))
    said: list[str] = []
    made = Campaign(
        [bundle], tmp_path / "out", tmp_path / "scratch", 75, "tiny", "cpu", "fp32", None, 1, canvases=32, plan=plan
    )
    metrics = made.run(said.append)
    assert metrics.keys() == {"tokenizer", "generator", "embedder", "envelope", "refine"}, said
    runs = import_runs(tmp_path / "out", tmp_path / "runs")
    assert {"tokenizer", "generator", "embedder", "envelope"} <= runs.keys()
    again = Campaign(
        [bundle], tmp_path / "more", tmp_path / "scratch2", 40, "tiny", "cpu", "fp32", tmp_path / "out", 1,
        canvases=32, plan=plan,
    )  # fmt: skip
    said.clear()
    found = again.run(said.append)
    assert "generator" in found and not any(line.startswith("tokenizer:") for line in said), said


def test_a_campaign_without_texts_is_refused(sound_folder, tmp_path):
    with pytest.raises(SmgError, match="texts.safetensors"):
        Campaign([sound_folder], tmp_path / "out", tmp_path / "scratch", 10, "tiny", "cpu").run(lambda _: None)


def test_the_commands_report_what_they_wrote(trained, sound_folder, tmp_path, capsys):
    where = ["--data", str(sound_folder), "-o", str(tmp_path / "bundle")]
    assert run(["train", "bundle", *where, "--json", "-q"]) == 0
    files = parsed(capsys.readouterr().out)["files"]
    assert [path.rpartition("/")[2] for path in files] == ["train-0000.tar", "texts.safetensors"]
    assert run(["train", "bundle", *where, "--megabytes", "0"]) == 1
    assert "--megabytes 0: use 1 to 100000" in capsys.readouterr().err
    export_run(trained[0]["envelope"], tmp_path / "out")
    assert run(["train", "import", str(tmp_path / "out"), "-o", str(tmp_path / "runs"), "--json", "-q"]) == 0
    assert parsed(capsys.readouterr().out)["runs"] == {"envelope": str(tmp_path / "runs" / "envelope")}
    campaign = ["train", "campaign", *where[:2], "--scratch", str(tmp_path / "s"), "-o", str(tmp_path / "w")]
    assert run([*campaign, "--device", "cpu", "--preset", "huge"]) == 1
    assert "--preset huge: choose from" in capsys.readouterr().err
