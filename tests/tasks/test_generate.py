"""`smg generate` with the shipped model, from the command line to the file."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import threadpoolctl

from specmaskgit_cli import load
from specmaskgit_cli.audio.files import read_audio
from specmaskgit_cli.checkpoint import resolve
from specmaskgit_cli.checkpoint.card import known_embeddings
from specmaskgit_cli.cli import run
from specmaskgit_cli.options import GenerateOptions
from specmaskgit_cli.synthesis import engine
from specmaskgit_cli.threads import one_blas_thread

RATE = resolve().config.mel.sample_rate


def generate(*arguments, code=0):
    assert run(["generate", *map(str, arguments)]) == code


@pytest.fixture(scope="module")
def pipe():
    return load()


def test_a_sound_has_the_asked_length_and_a_safe_level(tmp_path, capsys):
    out, picture = tmp_path / "bark.wav", tmp_path / "bark.png"
    generate("dog barking", "-o", out, "-s", 1.3, "--seed", 5, "--image", picture)
    audio = read_audio(out)
    assert audio.samples.shape == (1, round(1.3 * RATE)) and audio.rate == RATE
    assert np.abs(audio.samples).max() == pytest.approx(10 ** (-1 / 20), abs=0.01)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert re.search(r"bark\.wav +1\.30 s +seed 5 ", capsys.readouterr().out)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_the_extension_says_the_format(tmp_path, extension):
    out = tmp_path / f"x.{extension}"
    generate("rain", "-o", out, "-s", 0.5, "--steps", 2, "-q")
    assert soundfile.info(out).format == {"ogg": "OGG", "mp3": "MP3"}.get(extension, extension.upper())


def test_a_seed_is_a_sound_whatever_the_threads_and_the_batch(tmp_path, pipe):
    generate("thunder", "-o", tmp_path / "n.wav", "-s", 1, "-n", 3, "--seed", 7, "--threads", 2, "-q")
    for index in range(3):
        single = tmp_path / f"single{index}.wav"
        generate("thunder", "-o", single, "-s", 1, "--seed", 7 + index, "--threads", 1, "-q")
        assert (tmp_path / f"n-{index + 1}.wav").read_bytes() == single.read_bytes()
    a, b = (pipe.generate("thunder", seconds=1, seed=seed).samples for seed in (7, 8))
    assert not np.allclose(a, b)


def test_numpy_takes_no_threads_of_its_own_and_gets_them_back(pipe):
    def blas() -> set[int]:
        return {library.num_threads for library in controller.lib_controllers if library.user_api == "blas"}

    controller, seen = threadpoolctl.ThreadpoolController(), []
    with controller.limit(limits=2, user_api="blas"):
        before = blas()
        pipe.make(GenerateOptions(prompt="rain", seconds=0.5), lambda *_: seen.append(blas()))
        assert seen and all(threads <= {1} for threads in seen) and blas() == before
        with one_blas_thread():
            inner = one_blas_thread()  # as of another thread of the process, which need not end first
            inner.__enter__()
        assert blas() == {1}
        inner.__exit__(None, None, None)
        assert blas() == before


def test_json_reports_what_was_made(tmp_path, capsys):
    out = tmp_path / "x.wav"
    generate("door slam", "-o", out, "-s", 0.4, "--steps", 4, "--candidates", 2, "--json")
    document = json.loads(capsys.readouterr().out)
    (sound,) = document["sounds"]
    assert sound["file"] == str(out) and sound["prompt"] == "door slam" and sound["steps"] == 4
    assert isinstance(sound["seed"], int) and sound["seconds"] == pytest.approx(0.4, abs=1e-4)
    assert -1 <= sound["score"] <= 1 and document["model"] == "default" and document["backend"] == "onnx"


def test_a_drawn_seed_makes_the_sound_again(pipe):
    first = pipe.generate("wind", seconds=0.5, steps=4)
    again = pipe.generate("wind", seconds=0.5, steps=4, seed=first.seed)
    assert np.array_equal(first.samples, again.samples)


def test_more_candidates_never_score_worse(pipe):
    scores = [pipe.generate("cat meowing", seconds=1, steps=4, seed=1, candidates=k).score for k in (2, 4)]
    assert scores[1] >= scores[0]


def test_a_score_sets_off_what_is_near_to_all_known_sounds(pipe):
    mel = np.full((pipe.config.mel.n_mels, 2 * pipe.config.tokenizer.patch_frames), -4.0, np.float32)
    heard, wish = pipe.runtime.embed_audio(mel[None])[0], pipe.engine.prompts.text("rain")
    known = known_embeddings(pipe.checkpoint)
    assert pipe.engine.prompts.score(mel, wish) == pytest.approx(heard @ wish[0] - (known @ heard).mean(), abs=1e-5)


@pytest.mark.parametrize("faint, draws", [(0, 1), (1, 2), (99, 3)])
def test_a_sound_that_comes_out_faint_is_drawn_again(pipe, monkeypatch, faint, draws):
    options = GenerateOptions(prompt="rain", seconds=0.4, steps=2, seed=3)
    (wanted,), drawn, told = pipe.make(options), [], []
    original = engine.tokens_to_mel

    def faint_at_first(runtime, tokens, rng):
        drawn.append(tokens.tobytes())
        return original(runtime, tokens, rng) - 20 * (len(drawn) <= faint)

    monkeypatch.setattr(engine, "tokens_to_mel", faint_at_first)
    (sound,) = pipe.make(options, lambda *progress: told.append(progress))
    assert len(set(drawn)) == len(drawn) == draws
    assert np.array_equal(sound.samples, wanted.samples) == (draws == 1)
    assert told == [(1, 2), (2, 2)]


def test_long_sounds_have_no_seams(pipe):
    sound = pipe.generate("heavy rain", seconds=24, seed=1, steps=4)
    assert sound.samples.shape == (1, 24 * RATE)
    level = sound.mel.mean(0)
    patch = pipe.config.tokenizer.patch_frames
    half = patch // 2  # a column has two of these
    steps = np.abs(np.diff(level[: len(level) // half * half].reshape(-1, half).mean(1)))
    # Where windows end, the level moves no more than it does elsewhere.
    ends = [high for _, high in pipe.engine.windows(sound.mel.shape[1] // patch)[:-1]]
    assert len(ends) == 2
    seams = [steps[column * 2 - 2 : column * 2 + 1].max() for column in ends]
    assert max(seams) <= steps.max() and np.abs(sound.samples).max() <= 0.9


def test_guidance_negative_and_like_change_the_sound(pipe, tmp_path):
    base = {"seconds": 0.5, "steps": 4, "seed": 3}
    plain = pipe.generate("bird singing", **base)
    plain.save(str(tmp_path / "bird.wav"))
    others = [
        pipe.generate("bird singing", guidance=0, **base),
        pipe.generate("bird singing", negative="rain", **base),
        pipe.generate("bird singing", like=str(tmp_path / "bird.wav"), **base),
        pipe.generate(like=str(tmp_path / "bird.wav"), **base),
    ]
    assert all(not np.allclose(plain.samples, other.samples) for other in others)


def test_a_prompt_far_from_everything_is_warned_about(pipe):
    assert pipe.generate("dog barking", seconds=0.3, steps=1).warnings == ()
    (warning,) = pipe.generate("quarterly revenue forecast spreadsheet", seconds=0.3, steps=1).warnings
    assert "nearest" in warning and "\n" not in warning


def test_standard_output_is_a_wav(tmp_path):
    command = [sys.executable, "-m", "specmaskgit_cli", "generate", "rain", "-o", "-", "-s", "0.3", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, check=True)
    (tmp_path / "x.wav").write_bytes(done.stdout)
    assert soundfile.info(tmp_path / "x.wav").frames == round(0.3 * RATE)
    assert b"seed" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["", "-o", "x.wav"],
        ["rain", "-o", "x.wav", "-s", "0"],
        ["rain", "-o", "x.wav", "-s", "-1"],
        ["rain", "-o", "x.wav", "-s", "nan"],
        ["rain", "-o", "x.wav", "--steps", "0"],
        ["rain", "-o", "x.wav", "--model", "nothing"],
        ["rain", "-o", "x.wav", "--vocoder", "nothing"],
        ["rain", "-o", "x.wav", "--backend", "abacus"],
        ["rain", "-o", "x.wav", "--threads", "0"],
        ["rain", "-o", "x.wav", "--like", "absent.wav"],
        ["rain", "-o", "x.xyz"],
        ["rain", "-o", "absent/x.wav"],
    ],
)
def test_bad_input_is_one_line_and_no_file(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["generate", *arguments]) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("smg: error: ")
    assert not list(tmp_path.iterdir())


def test_a_damaged_model_is_refused(tmp_path, capsys):
    import shutil

    from specmaskgit_cli.checkpoint.registry import shipped

    copy = tmp_path / "model"
    shutil.copytree(shipped(), copy)
    data = bytearray((copy / "generator.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "generator.safetensors").write_bytes(data)
    generate("rain", "-o", tmp_path / "x.wav", "--model", copy, code=1)
    assert "generator.safetensors is changed" in capsys.readouterr().err
    (copy / "generator.safetensors").unlink()
    generate("rain", "-o", tmp_path / "x.wav", "--model", copy, code=1)
    assert "generator.safetensors is missing" in capsys.readouterr().err
    assert not (tmp_path / "x.wav").exists()


def test_the_shipped_model_is_whole_and_small(pipe):
    from specmaskgit_cli.checkpoint.layout import inspect_files

    folder = pipe.checkpoint.directory
    assert set(inspect_files(folder).values()) == {"ok"}
    assert sum(f.stat().st_size for f in folder.rglob("*")) < 64e6
    assert len(pipe.engine.prompts.sounds) > 500 and pipe.config.license == "CC-BY-SA-4.0"
