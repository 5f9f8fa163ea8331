"""The training commands from a folder of sounds to a checkpoint that generates."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from safetensors.torch import load_file  # noqa: E402

from specmaskgit_cli.checkpoint.layout import inspect_files, load_checkpoint  # noqa: E402
from specmaskgit_cli.cli import run as smg  # noqa: E402
from specmaskgit_cli.conditioning.condition import Layout  # noqa: E402
from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.config.settings import MelConfig  # noqa: E402
from specmaskgit_cli.data.canvas import CanvasMaker  # noqa: E402
from specmaskgit_cli.data.clips import open_cache  # noqa: E402
from specmaskgit_cli.data.descriptions import caption_from_name  # noqa: E402
from specmaskgit_cli.data.sources import find_sources, iterate_clips  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.pipeline import load  # noqa: E402


def test_every_stage_writes_a_run(trained):
    runs, _ = trained
    for stage, run in runs.items():
        assert json.loads((run / "options.json").read_text())["stage"] == stage
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        values = [value for key, value in last.items() if key.startswith("val_")]
        assert values and np.isfinite(values).all()
        assert (run / "model.safetensors").exists() and (run / "state.pt").exists()


def test_the_checkpoint_is_whole_and_makes_sounds(trained, tmp_path):
    _, directory = trained
    assert set(inspect_files(directory).values()) == {"ok"}
    checkpoint = load_checkpoint(directory)
    assert checkpoint.config.vocoder.kind == "vocos"
    sound = load(str(directory)).generate("dog barking", seconds=1.5, seed=1)
    assert sound.samples.shape == (1, round(1.5 * 22050)) and np.abs(sound.samples).max() > 0.1
    card = (directory / "README.md").read_text()
    assert "| generator |" in card and "church bell" in card
    assert "not stated" in (directory / "CREDITS.md").read_text()


def test_an_interrupted_run_ends_like_an_uninterrupted_one(sound_folder, tmp_path):
    from safetensors.torch import load_file

    common = ["train", "tokenizer", "--data", str(sound_folder), "--preset", "tiny", "--batch", "2", "--threads", "1"]
    from specmaskgit_cli.training import loop
    from specmaskgit_cli.training.tokenizer import TokenizerStage

    config = PRESETS["tiny"]
    train, val = open_cache([sound_folder], config.mel)
    options = loop.TrainOptions(steps=4, batch=2, minutes=1000)

    class Stopped(TokenizerStage):
        def loss(self, part, drawn):
            if part.step == 2 and not (tmp_path / "halves" / "state.pt").exists():
                raise KeyboardInterrupt
            return super().loss(part, drawn)

    loop.train(TokenizerStage(config, options, train, val), tmp_path / "whole", report=lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        loop.train(Stopped(config, options, train, val), tmp_path / "halves", report=lambda _: None)
    loop.train(Stopped(config, options, train, val), tmp_path / "halves", report=lambda _: None)
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, atol=1e-5, rtol=1e-4, msg=name)
    assert smg([*common, "--preset", "small", "--steps", "1", "-o", str(tmp_path / "whole")]) == 1  # another size


def test_captions_come_from_wherever_they_are(tmp_path, sound_folder):
    wave = (sound_folder / "rain 1.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(wave)
    (tmp_path / "b.wav").write_bytes(wave)
    (tmp_path / "Door_Slam-02.wav").write_bytes(wave)
    (tmp_path / "captions.csv").write_text("file,caption,label\na.wav,heavy rain,rain\n")
    (tmp_path / "b.txt").write_text("light rain\n")
    found = {key: info["caption"] for key, _, info in iterate_clips(tmp_path)}
    assert found == {"a.wav": "heavy rain", "b.wav": "light rain", "Door_Slam-02.wav": "door slam"}
    assert caption_from_name("42") == "42"


def test_shards_are_read_as_webdataset(tmp_path, sound_folder):
    import io
    import tarfile

    def add(tar, name, data):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))

    wave = (sound_folder / "rain 1.wav").read_bytes()
    for shard in ("train-0.tar", "val-0.tar"):
        with tarfile.open(tmp_path / shard, "w") as tar:
            for key in ("x", "y"):
                add(tar, f"{key}.wav", wave)
                add(tar, f"{key}.json", json.dumps({"caption": f"{shard} {key}", "label": "rain"}).encode())
            add(tar, "z.wav", b"not audio")
            add(tar, "z.txt", b"nothing")
    assert [p.name for p in find_sources([tmp_path])] == ["train-0.tar", "val-0.tar"]
    train, val = open_cache([tmp_path], MelConfig(), tmp_path / "cache", report=lambda _: None)
    assert [c.caption for c in train.clips] == ["train-0.tar x", "train-0.tar y"]
    assert [c.caption for c in val.clips] == ["val-0.tar x", "val-0.tar y"]
    assert np.abs(train.clip_wave(train.clips[1])).max() == pytest.approx(0.9, abs=1e-3)


def test_the_cache_grows_by_shards_and_by_waveforms(tmp_path, sound_folder):
    import tarfile

    def shard(name, pattern):
        with tarfile.open(tmp_path / name, "w") as tar:
            for path in sorted(sound_folder.glob(pattern)):
                tar.add(path, f"{path.stem}.wav")
                (tmp_path / "caption.txt").write_text("a sound")
                tar.add(tmp_path / "caption.txt", f"{path.stem}.txt")

    def clips(**options):
        lines.clear()
        train, val = open_cache([tmp_path], MelConfig(), tmp_path / "cache", report=lines.append, **options)
        found = sorted((*train.clips, *val.clips), key=lambda clip: clip.key)
        return train, [(c.key, c.frames, float(train.clip_mel(c).astype(float).sum())) for c in found]

    lines = []
    shard("train-0.tar", "*1.wav")
    shard("train-1.tar", "*2.wav")
    train, before = clips(waves=False, workers=2)
    assert len(lines) == 2 and len(before) == 10
    with pytest.raises(FileNotFoundError):
        train.clip_wave(train.clips[0])
    shard("train-2.tar", "rain*.wav")
    _, after = clips(waves=False)
    assert lines == ["decoded train-2.tar: 2 clips"] and after[:10] == before
    train, again = clips()
    assert len(lines) == 3 and again == after
    assert len(train.clip_wave(train.clips[-1])) == 256 * train.clips[-1].frames
    assert len(list((tmp_path / "cache").iterdir())) == 3 and clips()[1] == after and not lines


def test_a_generator_is_trained_on_what_it_is_told_to(trained, sound_folder, tmp_path, capsys, monkeypatch):
    from specmaskgit_cli.training.batch_parts import BatchPart
    from specmaskgit_cli.training.embedder import load_tower
    from specmaskgit_cli.training.generator import GeneratorStage
    from specmaskgit_cli.training.loop import TrainOptions, load_run, run_config
    from specmaskgit_cli.training.tokenizer import new_tokenizer

    monkeypatch.setattr(GeneratorStage, "validation_batches", 1)
    runs, checkpoint = trained
    config = run_config(runs["generator"])
    train, val = open_cache([sound_folder], config.mel)
    tower = load_tower(runs["embedder"], config)
    codes = load_run(runs["tokenizer"], new_tokenizer(config)).tokenizer

    def embeddings(condition, embed_text):
        """What the examples of a step are conditioned on, and which of it are embeddings of sounds."""
        stage = GeneratorStage(
            config, TrainOptions(batch=16), train, val, codes, embed_text, tower, condition, canvases=24
        )
        found = stage.draw(BatchPart(0, 0)).condition[:, Layout(config.generator).embedding]
        heard = torch.cat([material.embeddings.float() for material in stage.material])
        return found, torch.tensor([any(torch.equal(one, other) for other in heard) for one in found])

    found, own = embeddings("audio", None)  # needs no captions at all
    assert own.all() and len(found) > 1
    words = np.full((1, config.generator.condition_dim), 0.5, np.float32)
    found, own = embeddings("both", lambda texts: words.repeat(len(texts), 0))
    assert 0 < own.sum() < len(own) and (found[~own] == 0.5).all()
    found, own = embeddings("text", lambda texts: words.repeat(len(texts), 0))
    assert (found == 0.5).all()

    common = ["train", "generator", "--data", str(sound_folder), "--tokenizer", str(runs["tokenizer"])]
    common += ["--steps", "1", "--batch", "2", "--threads", "1", "-o", str(tmp_path / "run")]
    assert smg([*common, "--condition", "audio"]) == 1 and "needs an --embedder" in capsys.readouterr().err
    assert smg([*common, "--condition", "smell"]) == 1 and "choose text, audio" in capsys.readouterr().err
    assert smg([*common, "--embedder", str(checkpoint), "--condition", "audio"]) == 0  # of a finished model
    assert json.loads((tmp_path / "run" / "options.json").read_text())["condition"] == "audio"


def test_a_finished_decoder_is_refined_with_more_of_everything(trained, sound_folder, tmp_path, capsys):
    runs, _ = trained
    command = ["train", "tokenizer", "--data", str(sound_folder), "--refine", str(runs["tokenizer"]), "--threads", "1"]
    for given in (["--levels", "1"], ["--texture-layers", "0"]):
        assert smg([*command, *given, "-o", str(tmp_path / "less")]) == 1
        assert f"{given[0]} {given[1]}: must be at least" in capsys.readouterr().err
    more = ["--levels", "3", "--texture-layers", "2", "--steps", "3", "--batch", "2", "-o", str(tmp_path / "more")]
    assert smg([*command, *more]) == 0
    before, after = (load_file(Path(run) / "model.safetensors") for run in (runs["tokenizer"], tmp_path / "more"))
    books = [tensors["tokenizer.quantizer.codebooks"] for tensors in (before, after)]
    assert len(books[1]) == 3 and torch.equal(books[0], books[1][:2]) and books[1][2].std() > 0
    weights = [key for key in before if key.startswith("tokenizer.") and "codebooks" not in key]
    learned = {key.split(".")[1] for key in weights if not torch.equal(before[key], after[key])}
    assert learned >= {"decoder", "patch_out", "texture", "grain"} and "encoder" not in learned
    assert "tokenizer.grain.1.up.weight" in after and float(after["tokenizer.cells_out.weight"].abs().max()) > 0

    refined, packed = str(tmp_path / "refined"), tmp_path / "packed"
    assert smg([*command, "--texture-layers", "2", "--steps", "1", "--batch", "2", "-o", refined]) == 0
    assert smg(["train", "pack", refined, str(runs["generator"]), "-o", str(packed)]) == 0  # its codes are the same
    assert load_checkpoint(packed).config.tokenizer.texture_layers == 2


def test_gaps_between_events_have_the_noise_floor_of_the_recording(tmp_path):
    rng, rate = np.random.default_rng(0), 22050
    level = {"quiet": 0.002, "clean": 0.0}
    for name, floor in level.items():
        sound = floor * rng.standard_normal(rate)
        sound[: rate // 4] += 0.5 * rng.standard_normal(rate // 4)
        soundfile.write(tmp_path / f"{name}.wav", sound, rate)
    config = PRESETS["tiny"]
    clips, _ = open_cache([tmp_path], config.mel, report=lambda _: None)
    maker = CanvasMaker(clips, config.mel)
    floors = {}
    for clip in clips.clips:
        canvas = np.concatenate([maker.canvas(clip, rng, 400) for _ in range(10)])
        floors[clip.caption] = np.median(canvas[canvas.max(1) < -4.5].mean(1))
    recorded = {clip.caption: np.median(clips.clip_mel(clip)[60:].astype(np.float32).mean(1)) for clip in clips.clips}
    assert floors["quiet"] == pytest.approx(recorded["quiet"], abs=0.5)
    assert floors["clean"] == pytest.approx(config.mel.scale_min, abs=0.1)


def test_canvases_are_filled_with_events_or_carried_on(sound_folder):
    config = PRESETS["tiny"]
    train, _ = open_cache([sound_folder], config.mel)
    maker = CanvasMaker(train, config.mel)
    rng = np.random.default_rng(0)
    rain, dog = (next(c for c in train.clips if c.caption == caption) for caption in ("rain", "dog bark"))
    for clip in (rain, dog):
        lengths = [maker.canvas(clip, rng, 400).shape for _ in range(4)]
        assert lengths == [(400, 80)] * 4
    silent = {
        clip.caption: np.mean([(maker.canvas(clip, rng, 400).max(1) < -3.5).mean() for _ in range(30)])
        for clip in (rain, dog)
    }
    assert silent["rain"] == 0  # a steady sound goes on
    assert 0.05 < silent["dog bark"] < 0.95  # gaps between barks, but not one bark and silence


def test_bad_training_input_is_one_clear_error(tmp_path, capsys):
    cases = [
        ["train", "tokenizer", "--data", str(tmp_path / "absent"), "-o", str(tmp_path / "run")],
        ["train", "tokenizer", "--data", str(tmp_path), "-o", str(tmp_path / "run")],
        ["train", "tokenizer", "--data", str(tmp_path), "-o", str(tmp_path / "run"), "--preset", "huge"],
        ["train", "tokenizer", "--data", str(tmp_path), "-o", str(tmp_path / "run"), "--minutes", "0"],
        ["train", "generator", "--data", str(tmp_path), "-o", str(tmp_path / "run"), "--tokenizer", str(tmp_path)],
        ["train", "pack", str(tmp_path), "-o", str(tmp_path / "out")],
    ]
    for arguments in cases:
        assert smg(arguments) in (1, 2), arguments
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("smg: error: "), arguments
    assert not (tmp_path / "out").exists()
    with pytest.raises(SmgError):
        find_sources([])
