"""What files tell of their making: it survives in every format, makes the sound again, and cannot do harm."""

import io
import json
import os
import shutil
import wave
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from tinytag import TinyTag

from specmaskgit_cli import load
from specmaskgit_cli.audio.encoding import FORMATS
from specmaskgit_cli.audio.files import read_audio, write_audio
from specmaskgit_cli.audio.metadata import MAX_BYTES, read_comment
from specmaskgit_cli.checkpoint import load_checkpoint, write_sums
from specmaskgit_cli.checkpoint.layout import read_sums
from specmaskgit_cli.cli import replay as replay_module
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import Box, GenerateOptions, InpaintOptions, OutputOptions
from specmaskgit_cli.sounds import record
from specmaskgit_cli.sounds.record import Origin, Record, read_record

RATE = 24000
TONE = (0.5 * np.sin(np.arange(RATE // 2) / 9)).astype(np.float32)
ORIGIN = Origin(model="tiny", model_hash="0123456789ab", source="default", backend="onnx")
EDITS = {
    "inpaint": ["--start", "0.2", "--end", "0.4"],
    "extend": [],
    "continue": ["--seconds", "0.5", "--before"],
    "vary": ["--amount", "0.5", "--trim"],
    "sketch": ["--prompt", "rain", "--loudness-only"],
    "loop": ["--rate", "48000"],
}
FEW = ["--steps", "2", "--threads", "1"]


def a_record(prompt="犬 «barking»\u2028twice\0or \U0001f415", boxes=200) -> Record:
    """Of about 20 kB, with text that is not Latin-1."""
    spans = tuple(Box(index, index + 0.5, 100.5) for index in range(boxes))
    options = InpaintOptions("/nowhere/ö\udcff.wav", spans, prompt=prompt, seed=7)
    return Record(options, OutputOptions(bits="24", lufs=-16), replace(ORIGIN, input_sha256="ab" * 32))


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    """An empty directory with a sound, whose model is the tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    soundfile.write("in.wav", np.random.default_rng(0).standard_normal((8000, 2)) * 0.1, 8000)
    return tmp_path


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_keeps_all_of_it(tmp_path, extension):
    path, bare = tmp_path / f"a.{extension}", tmp_path / f"bare.{extension}"
    made = a_record()
    write_audio(path, TONE, RATE, metadata=made.tags())
    write_audio(bare, TONE, RATE)
    assert read_record(path) == made and read_record(bare) is None
    assert read_comment(path).startswith("AI-generated in part (inpaint): 犬 «barking» twice or \U0001f415. Made by ")
    np.testing.assert_array_equal(read_audio(path).samples, read_audio(bare).samples)


@pytest.mark.parametrize("extension", FORMATS)
def test_other_programs_read_it(tmp_path, extension):
    tags = a_record().tags()
    write_audio(tmp_path / f"a.{extension}", TONE, RATE, metadata=tags)
    found = TinyTag.get(tmp_path / f"a.{extension}")
    assert (found.title, found.comment) == (tags["title"], tags["comment"])
    assert found.duration == pytest.approx(0.5, abs=0.1)


def test_wav_has_its_samples_where_simple_readers_expect_them(tmp_path):
    write_audio(tmp_path / "a.wav", TONE, RATE, metadata=a_record(boxes=1).tags())
    data = (tmp_path / "a.wav").read_bytes()
    assert data[36:40] == b"data" and int.from_bytes(data[4:8], "little") == len(data) - 8
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == len(TONE)
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        assert file.comment == a_record(boxes=1).tags()["comment"] and file.software.startswith("smg ")


def test_standard_output_and_a_file_are_the_same(folder, monkeypatch):
    pipe = io.BytesIO()
    arguments = ["generate", "rain", "-s", "0.5", "--seed", "3", *FEW, "-q"]
    assert run([*arguments, "-o", "a.wav"]) == 0
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=pipe, isatty=lambda: False))
    assert run([*arguments, "-o", "-"]) == 0
    assert pipe.getvalue() == (folder / "a.wav").read_bytes()
    assert read_record("a.wav").options == GenerateOptions("rain", seconds=0.5, seed=3, steps=2)


def test_the_python_api_writes_it_too(folder):
    sound = load(threads=1).generate("rain", seconds=0.5, steps=2, like="in.wav")
    sound.save("a.flac", bits="24")
    assert soundfile.info("a.flac").subtype == "PCM_24"
    sound.save("c.wav", output=OutputOptions(rate=8000), channels=2).save("c.wav")
    assert soundfile.info("c.wav").channels == 2 and soundfile.info("c.wav").samplerate == 8000
    assert read_record("c.wav") is None  # rather than half of the truth
    told = read_record("a.flac")
    assert told.options.seed == sound.seed and told.output == OutputOptions(bits="24")
    assert told.input == str(folder / "in.wav") and told.origin.input_sha256 == record.sha256("in.wav")
    sound.save("b.flac", metadata=False)
    assert read_record("b.flac") is None


def test_info(folder, capsys):
    assert run(["generate", "rain", "-s", "0.5", "-n", "2", "--seed", "5", *FEW, "-o", "a.ogg", "-q"]) == 0
    assert run(["info", "a-2.ogg"]) == 0
    out = capsys.readouterr().out
    for words in ("0.50 s  22050 Hz  1 ch  OGG VORBIS", " dBFS", " LUFS", "AI-generated by", "prompt: rain", "seed: 6"):
        assert words in out
    assert run(["info", "a-2.ogg", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["files"]
    assert document["seconds"] == 0.5 and document["metadata"]["options"]["prompt"] == "rain"
    assert document["metadata"]["ai_generated"] is True and document["metadata_error"] is None
    soundfile.write("silent.wav", np.zeros(100), 8000)
    assert run(["info", "silent.wav"]) == 0
    assert "silent\nmetadata: none" in capsys.readouterr().out


def test_info_shows_no_control_characters(tmp_path, capsys):
    made = Record(GenerateOptions("rain\x1b[2J\x9b", seed=1), OutputOptions(), replace(ORIGIN, model="\x1b]0;x\x07"))
    write_audio(tmp_path / "a.wav", TONE, RATE, metadata=made.tags())
    for more in ([], ["--json"]):
        assert run(["info", str(tmp_path / "a.wav"), *more]) == 0
        assert not set(capsys.readouterr().out) & {"\x1b", "\x9b", "\x07"}


@pytest.mark.parametrize("command", EDITS)
def test_an_edit_is_made_again(folder, capsys, command):
    more = [*EDITS[command], "--seed", "3", "--prompt", "rain", "--guidance", "1.5", *FEW]
    assert run([command, "in.wav", *more, "-o", "out.wav"]) == 0
    assert run(["replay", "out.wav", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("out.replay.wav") and out.endswith("  identical\n") and "differ" not in err
    assert (folder / "out.replay.wav").read_bytes() == (folder / "out.wav").read_bytes()


@pytest.mark.parametrize("extension", ["wav", "mp3"])
def test_a_generated_sound_is_made_again(folder, capsys, extension):
    out = f"out.{extension}"
    more = ["--like", "in.wav", "--vocoder", "griffin-lim", "--negative", "dog", "--candidates", "2", "--lufs", "-30"]
    assert run(["generate", "rain", "-s", "0.5", *more, "--channels", "2", *FEW, "-o", out, "-q"]) == 0
    assert run(["replay", out, "-o", f"again.{extension}", "--json", "--threads", "1"]) == 0
    (sound,) = json.loads(capsys.readouterr().out)["sounds"]
    assert sound["identical"] is True and sound["like_weight"] == 0.5
    assert (folder / out).read_bytes() == (folder / f"again.{extension}").read_bytes()


def test_the_input_must_be_what_it_was(folder, capsys):
    assert run(["vary", "in.wav", *FEW, "-o", "out.wav", "-q"]) == 0
    (folder / "in.wav").rename("moved.wav")
    assert run(["replay", "out.wav"]) == 1
    assert "in.wav' is gone" in capsys.readouterr().err
    assert run(["replay", "out.wav", "--input", "moved.wav", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("  identical\n") and "differ" not in err and "another" not in err
    soundfile.write("in.wav", np.random.default_rng(1).standard_normal(8000) * 0.1, 8000)
    assert run(["replay", "out.wav", "-o", "x.wav"]) == 1
    assert "has changed" in capsys.readouterr().err and not (folder / "x.wav").exists()
    assert run(["replay", "out.wav", "-o", "x.wav", "--input", "in.wav", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("not identical\n") and "input was another" in err
    assert run(["replay", "out.wav", "-o", "out.wav", "--input", "in.wav"]) == 1
    assert "replayed sound itself" in capsys.readouterr().err


def test_what_differs_is_said(folder, capsys, monkeypatch, trained):
    model = shutil.copytree(trained[1], folder / "model")
    (model / "README.md").write_text("another")
    write_sums(model)
    assert run(["generate", "rain", "-s", "0.3", *FEW, "--model", "model", "-o", "out.wav", "-q"]) == 0
    assert read_record("out.wav").origin.source == str(model)
    again = ["replay", "out.wav", "-o", "again.wav", "--threads", "1"]
    assert run([*again, "--model", "model"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("  identical\n") and not err
    shutil.rmtree(model)
    monkeypatch.setattr(replay_module, "__version__", "9.9")
    assert run([*again, "--backend", "torch", "--vocoder", "griffin-lim"]) == 0
    err = capsys.readouterr().err
    for words in ("made with model 'custom'", "backend 'onnx', and this is torch", "vocoder of", "and this is 9.9"):
        assert words in err
    assert run([*again, "-q"]) == 0 and capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["generate", "replay", *EDITS])
def test_it_can_be_left_out(folder, command):
    assert run(["generate", "rain", "-s", "0.3", *FEW, "-o", "a.wav", "-q"]) == 0
    first = {"generate": ["rain", "-s", "0.3", "--steps", "2"], "replay": ["a.wav"]}
    arguments = first.get(command) or ["in.wav", *EDITS[command], "--steps", "2"]
    assert run([command, *arguments, "--threads", "1", "--no-metadata", "-o", "out.wav", "-q"]) == 0
    assert read_record("out.wav") is None and b"smg" not in (folder / "out.wav").read_bytes()


def tell(path, change) -> None:
    """A sound whose metadata `change` has altered: a function of the document, or the text itself."""
    document = a_record(boxes=1).to_dict()
    text = change if isinstance(change, str) else json.dumps(change(document) or document)
    write_audio(path, TONE, RATE, metadata={"comment": f"A sound.\n{text}"})


def tell_of(origin: Origin) -> None:
    """a.wav, which says that it was made by `origin`."""
    made = Record(GenerateOptions("rain", seconds=0.3, seed=1, steps=2), OutputOptions(), origin)
    write_audio("a.wav", TONE, RATE, metadata=made.tags())


def put(value, *keys):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        '{"smg": "0.1.0", "form',
        '{"smg": ' + "[" * 9000,
        '{"smg": ' + "9" * 9000 + "}",
        '{"smg": 1}',
        put(2, "format"),
        put(None, "task"),
        put("evil", "task"),
        put({}, "task"),
        put([], "options"),
        put({}, "options"),
        put(None, "options", "seed"),
        put(-1, "options", "seed"),
        put(10**400, "options", "seed"),
        put(float("nan"), "options", "guidance"),
        put(1e9, "options", "steps"),
        put([1], "options", "prompt"),
        put("\ud800", "options", "prompt"),
        put({}, "options", "order"),
        put("x", "options", "boxes"),
        put([3], "options", "boxes"),
        put([{"start": 1, "end": 0}], "options", "boxes"),
        put([{"start": None, "end": 2}], "options", "boxes"),
        put([{"start": 1, "end": 2, "path": "/x"}], "options", "boxes"),
        put("/etc/x", "options", "output"),
        put("/etc/x", "options", "input"),
        put(1000, "options", "num"),
        put(None, "input"),
        put({"path": 3, "sha256": None}, "input"),
        put({"path": "/x"}, "input"),
        put({"bits": "8"}, "output"),
        put({"file": "/etc/x"}, "output"),
        put({"trim": "yes"}, "output"),
        put(7, "origin", "model"),
        put("x", "origin", "extra"),
        put("owner/name", "origin", "vocoder"),
        put(None, "origin", "model_hash"),
        put("x", "file"),
    ],
)
def test_damaged_or_forbidden_metadata_is_one_line_and_no_file(tmp_path, monkeypatch, capsys, change):
    monkeypatch.chdir(tmp_path)
    tell("a.wav", change)
    assert run(["info", "a.wav"]) == 0
    assert "metadata: a.wav: its metadata is damaged" in capsys.readouterr().out
    assert run(["info", "a.wav", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["files"]
    assert document["metadata"] is None and "damaged" in document["metadata_error"]
    assert run(["replay", "a.wav", "-o", "out.wav"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smg: error: a.wav: its metadata is damaged") and "bug" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("path", ["/dev/zero", "/etc", "/etc/hostname", "a\0b", "x" * 5000, "\udcff", "a.wav"])
def test_only_the_recorded_input_is_read(tmp_path, monkeypatch, capsys, path):
    monkeypatch.chdir(tmp_path)
    tell("a.wav", put({"path": path, "sha256": None if path.startswith("/") else "0" * 64}, "input"))
    assert run(["replay", "a.wav", "-o", "out.wav"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is gone or cannot be read" in line or "has changed" in line
    assert not (tmp_path / "out.wav").exists()


def test_no_model_is_downloaded_because_a_file_says_so(folder, monkeypatch, capsys):
    def never(*args):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("specmaskgit_cli.checkpoint.registry.pull", never)
    monkeypatch.setattr("specmaskgit_cli.checkpoint.hub.names.pull", never)
    for name in ("owner/name", "x" * 300, "http://owner/name", "~/name"):
        origin = replace(ORIGIN, source=name, vocoder=f"{name}2", vocoder_hash="x")
        tell_of(origin)
        assert run(["replay", "a.wav", "--threads", "1"]) == 0
        err = capsys.readouterr().err
        assert "made with model 'tiny' ('0123456789ab')" in err and f"vocoder of '{name}2'" in err
        tell("a.wav", put(name, "origin", "vocoder"))  # without its hash
        assert run(["replay", "a.wav", "--threads", "1"]) == 1
        assert f"vocoder is '{name}', without a vocoder_hash" in capsys.readouterr().err


@pytest.mark.parametrize("place", [".data", "data", "absolute"])
def test_no_directory_is_opened_because_a_file_says_so(folder, monkeypatch, capsys, trained, place):
    model = shutil.copytree(trained[1], folder / place)
    (model / "README.md").write_text("another")
    write_sums(model)
    digest, name = load_checkpoint(model).hash, str(model) if place == "absolute" else place
    tell_of(replace(ORIGIN, model_hash=digest, source=name, vocoder=name, vocoder_hash=digest))
    opened = []
    monkeypatch.setattr(
        "specmaskgit_cli.checkpoint.layout.read_sums", lambda path: opened.append(path) or read_sums(path)
    )
    assert run(["replay", "a.wav", "--threads", "1"]) == 0
    assert opened and not any(Path(path).name == place for path in opened)
    err = capsys.readouterr().err
    assert f"from {name!r}, and this is" in err and f"vocoder of {name!r}" in err
    assert run(["replay", "a.wav", "--threads", "1", "--model", name, "--vocoder", name]) == 0
    assert "differ" not in capsys.readouterr().err


def test_a_vocoder_is_found_by_its_hash(folder, monkeypatch, capsys, trained):
    """Among the models of this computer, and the usual one is not taken for the model's own."""
    other = shutil.copytree(trained[1], folder / "other")
    (other / "README.md").write_text("another")
    write_sums(other)
    monkeypatch.setattr("specmaskgit_cli.checkpoint.registry.cached", lambda: [("owner/name@1", other)])
    usual, hidden = (load_checkpoint(path).hash for path in (trained[1], other))
    tell_of(replace(ORIGIN, model_hash=hidden, vocoder="default", vocoder_hash=usual))
    assert run(["replay", "a.wav", "--threads", "1"]) == 0
    assert "differ" not in capsys.readouterr().err
    told = read_record("a.replay.wav").origin
    assert (told.model_hash, told.vocoder_hash) == (hidden, usual)


@pytest.mark.parametrize("path", ["//server/share/in.wav", r"\\server\share\in.wav", r"\/server/in.wav"])
def test_no_share_is_looked_at_because_a_file_says_so(tmp_path, monkeypatch, capsys, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("specmaskgit_cli.sounds.record.sha256", None)
    tell("a.wav", put({"path": path, "sha256": "0" * 64}, "input"))
    assert run(["replay", "a.wav", "-o", "out.wav"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "lies on the network" in line and os.listdir() == ["a.wav"]


def test_files_of_others(tmp_path, capsys):
    write_audio(tmp_path / "a.mp3", TONE, RATE, metadata={"comment": "nothing of ours"})
    assert read_record(tmp_path / "a.mp3") is None
    assert run(["replay", str(tmp_path / "a.mp3")]) == 1
    assert "does not tell how it was made" in capsys.readouterr().err
    (tmp_path / "cut.wav").write_bytes(b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7fINFOICMT\xff\xff\xff\xffabc")
    assert read_comment(tmp_path / "cut.wav") == "abc"
    (tmp_path / "x.wav").write_text("no sound")
    for name in ("x.wav", "absent.wav"):
        with pytest.raises(SmgError, match=name):
            read_record(tmp_path / name)


def test_what_no_file_could_hold_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("specmaskgit_cli.pipeline.load", None)
    assert run(["generate", "犬" * 2000, "--negative", "犬" * 2000, "-o", str(tmp_path / "a.wav")]) == 2
    assert "--no-metadata" in capsys.readouterr().err
    with pytest.raises(SmgError, match=f"files hold {MAX_BYTES}"):
        write_audio(tmp_path / "a.wav", TONE, RATE, metadata={"comment": "x" * 50_000})
    assert not list(tmp_path.iterdir())
    largest = {"comment": "x" * MAX_BYTES}
    for extension in FORMATS:
        write_audio(tmp_path / f"a.{extension}", TONE, RATE, metadata=largest)
        assert read_comment(tmp_path / f"a.{extension}") == largest["comment"]
