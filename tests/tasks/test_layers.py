"""Scenes: layers of a prompt, each made by itself, and mixed."""

import json
from pathlib import Path

import numpy as np
import pytest

from specmaskgit_cli.audio.files import read_audio
from specmaskgit_cli.audio.loudness import integrated_loudness
from specmaskgit_cli.batch.jobs import make_jobs
from specmaskgit_cli.batch.table import read_rows
from specmaskgit_cli.batch.worker import Setup, Worker
from specmaskgit_cli.cli import run
from specmaskgit_cli.options import GenerateOptions
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.sounds.record import read_record

QUICK = {"seconds": 1.0, "steps": 1, "seed": 3}


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), threads=1)


def test_layers_are_equally_loud_or_as_loud_as_was_asked_and_add_up_to_the_mix(pipe):
    told = []
    options = GenerateOptions("rain + thunder:-9dB", stems=True, num=2, **QUICK)
    sounds = pipe.make(options, lambda *progress: told.append(progress))
    assert [(sound.seed, sound.options.layer) for sound in sounds] == [(s, n) for s in (3, 4) for n in (None, 1, 2)]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)] and not any(sound.options.stems for sound in sounds)
    for mix, rain, thunder in (sounds[:3], sounds[3:]):
        np.testing.assert_allclose(rain.samples + thunder.samples, mix.samples, atol=1e-6)
        loudness = [integrated_loudness(sound.samples, sound.rate) for sound in (rain, thunder)]
        assert loudness[0] - loudness[1] == pytest.approx(9, abs=0.01)
        assert np.abs(mix.samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
        assert mix.mel.shape[0] == pipe.config.mel.n_mels


def test_the_first_layer_is_the_sound_alone_and_another_of_the_same_prompt_is_not(pipe):
    first, second = (pipe.generate("rain + rain", layer=layer, **QUICK).samples for layer in (1, 2))
    alone = pipe.generate("rain", **QUICK).samples
    np.testing.assert_allclose(first / np.abs(first).max(), alone / np.abs(alone).max(), atol=1e-5)
    assert not np.allclose(second / np.abs(second).max(), alone / np.abs(alone).max(), atol=0.01)


def test_the_best_of_each_layer_is_taken_and_a_scene_loops(pipe):
    sound = pipe.generate("rain + crows", candidates=2, loop=True, **QUICK)
    assert sound.loops and isinstance(sound.score, float) and sound.samples.shape[1] == sound.rate


def test_stems_have_names_pictures_and_a_record_that_makes_them_again(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = ["--model", str(trained[1])]
    made = ["generate", "rain + a dog", "--stems", "-s", "0.5", "--steps", "1", "--seed", "2", "-o", "x.flac", *model]
    assert run([*made, "--image", "x.png", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = ["x.flac", "x-1-rain.flac", "x-2-a-dog.flac"]
    told = {sound["file"]: sound["layer"] for sound in document["sounds"]}
    assert told == dict(zip(names, (None, 1, 2), strict=True))
    assert {path.name for path in Path().glob("*.png")} == {"x.png", "x-1-rain.png", "x-2-a-dog.png"}
    assert read_record(names[2]).options.layer == 2
    for name in names[::2]:
        assert run(["replay", name, "-o", "again.flac", *model]) == 0
        np.testing.assert_array_equal(read_audio("again.flac").samples, read_audio(name).samples)
    assert run(["generate", "a + b", "--stems", "-o", "-", *model]) == 2
    assert capsys.readouterr().err.endswith("-o - holds one sound, and stems are several; give a file name\n")


def test_a_batch_writes_stems_too(pipe, trained, tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text("prompt,stems,seconds,steps,num,output\nrain + crows,yes,0.5,1,2,s.wav\n")
    (job,) = make_jobs(read_rows(str(table)), tmp_path)
    assert job.names == [f"s-{n}{layer}.wav" for n in (1, 2) for layer in ("", "-1-rain", "-2-crows")]
    worker = Worker(Setup(model=str(trained[1])), pipe.checkpoint.hash)
    assert len(worker.perform(job).files) == 6
