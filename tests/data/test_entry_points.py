"""Every command that reads sounds to learn from refuses the same data in the same line, and reads the same tables."""

from __future__ import annotations

import numpy as np
import pytest
from support.clips import folder, shard, sound

from specmaskgit_cli.cli import run
from specmaskgit_cli.data.labels import LabelledClip, read_labelled, read_wave
from specmaskgit_cli.data.remarks import Remarks
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.evaluation.clips import list_clips, read_clips, read_prompts
from specmaskgit_cli.evaluation.material import EvaluationOptions, gather
from specmaskgit_cli.pipeline import load

COMMANDS = {
    "train": ["train", "tokenizer", "--preset", "tiny", "--steps", "1", "--data", "{data}", "-o", "{out}"],
    "finetune": ["train", "finetune", "{data}", "-o", "{out}", "--model", "{model}"],
    "evaluate model": ["evaluate", "model", "--data", "{data}", "--model", "{model}"],
    "evaluate sampling": ["evaluate", "sampling", "--data", "{data}", "--model", "{model}"],
    "evaluate edits": ["evaluate", "edits", "--data", "{data}", "--model", "{model}"],
}
SHARDS = COMMANDS | {"probe": ["probe", "{data}", "--model", "{model}"]}


def refused(command, data, trained, tmp_path, capsys):
    """The one line in which a command refuses data."""
    arguments = [word.format(data=data, out=tmp_path / "out", model=trained[1]) for word in command]
    assert run([*arguments, "-q"]) in (1, 2)
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("smg: error: ") and "bug" not in line and not captured.out
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_table_is_refused_by_all(command, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    data = folder(tmp_path / "data", {"a.wav": None, "captions.csv": "file,caption\na.wav,a dog, loud\n"})
    line = refused(COMMANDS[command], data, trained, tmp_path, capsys)
    assert "captions.csv: line 2 has 3 cells" in line


@pytest.mark.parametrize("command", SHARDS)
def test_bad_shards_are_refused_by_all(command, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    path = shard(tmp_path / "data" / "a.tar", [("0.wav", None), ("0.json", "{oops")])
    assert "a.tar: 0.json is no JSON" in refused(SHARDS[command], path.parent, trained, tmp_path, capsys)
    path.write_bytes(b"x" * 2000)
    assert "a.tar: not a readable shard" in refused(SHARDS[command], path.parent, trained, tmp_path, capsys)


LABELS = "File;Label;Fold\ndog.wav;dog|pet;1\nsub\\rain.wav;rain;2\ndog.wav;;1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_as_spreadsheets_save_them(tmp_path, encoding):
    data = folder(tmp_path / "data", {"dog.wav": None, "sub/rain.wav": None})
    table = tmp_path / "labels.csv"
    table.write_bytes(LABELS.encode(encoding))
    found = [(clip.labels, clip.fold) for clip in read_labelled(data, table, fold="Fold")]
    assert found == [(("dog", "pet"), "1"), (("rain",), "2")]
    assert [c.labels for c in read_labelled(data, table, where={"Fold": "2"})] == [("rain",)]
    lines = folder(tmp_path, {"labels.jsonl": '{"file": "dog.wav", "label": ["dog", "pet"]}\n'}) / "labels.jsonl"
    assert [clip.labels for clip in read_labelled(data, lines)] == [("dog", "pet")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\ndog.wav,dog, loud\n", "line 2 has 3 cells"),
        ("file,label\nabsent.wav,dog\n", "row 1 (line 2): there is no file"),
        ("file,label\n,dog\ndog.wav,x\n", "row 1 (line 2): column file names no file"),
        ("name,label\ndog.wav,dog\n", "no column `file`"),
        ("file,sort\ndog.wav,dog\n", "no column `label`"),
        ("file,label\ndog.wav,caf\xe9\n", "line 2 is not UTF-8"),
    ],
)
def test_labels_that_are_not_clear(tmp_path, text, words):
    data = folder(tmp_path / "data", {"dog.wav": None})
    table = tmp_path / "labels.csv"
    table.write_bytes(text.encode("latin-1"))
    with pytest.raises(SmgError) as error:
        read_labelled(data, table)
    assert str(error.value).startswith(str(table)) and words in str(error.value)


def test_labelled_clips_of_folders_and_shards(tmp_path):
    data = folder(tmp_path / "data", {"dog/a.wav": None, "rain/b.wav": None, "c.wav": None, "rain/d.m4a": b"x"})
    remarks = Remarks()
    assert [clip.labels for clip in read_labelled(data, remarks=remarks)] == [("dog",), ("rain",)]
    assert remarks.lines()[0].startswith("1 left out: rain/d.m4a (is MPEG-4, ")
    info = {"caption": "a dog", "label": ["dog", "pet"], "Fold": 3}
    path = shard(tmp_path / "a.tar", [("0.wav", None), ("0.json", info)])
    (clip,) = read_labelled(path, fold="Fold")
    assert clip.labels == ("dog", "pet") and clip.fold == "3"
    wave = read_wave(clip, 16000)
    assert len(wave) == 4800 and np.abs(wave).max() > 0.4
    for content, words in ((b"x" * 100, "not a sound file"), (sound(2000, rate=1), "1 Hz")):
        bad = folder(tmp_path / "bad", {"x.wav": content}) / "x.wav"
        with pytest.raises(SmgError, match=rf"x\.wav: .*{words}.*leave it out"):
            read_wave(LabelledClip("x", bad, ("dog",)), 16000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_prompts_as_spreadsheets_save_them(tmp_path, encoding):
    path = tmp_path / "prompts.csv"
    path.write_bytes('Prompt;Expected\n"rain; heavy";Rain|Water\ncafé;\n'.encode(encoding))
    assert [(p.text, p.expected) for p in read_prompts(path)] == [("rain; heavy", "Rain|Water"), ("café", "")]
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "rain", "expected": ["Rain", "Water"]}\n', encoding="utf-8")
    assert [(p.text, p.expected) for p in read_prompts(path)] == [("rain", "Rain|Water")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt\nrain, heavy\n", "line 2 has 2 cells for 1 columns"),
        ("prompt,expected\n,Rain\nrain,Rain\n", "row 1 (line 2) has no prompts"),
        ("prompt\ncaf\xe9\n", "line 2 is not UTF-8"),
        ("prompt\n\n", "no column `prompt` with anything in it"),
    ],
)
def test_prompts_that_are_not_clear(tmp_path, text, words):
    path = tmp_path / "prompts.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as error:
        read_prompts(path)
    assert str(error.value).startswith(str(path)) and words in str(error.value)


def test_evaluation_says_what_it_leaves_out(trained, tmp_path):
    pipe = load(str(trained[1]))
    files = {f"sound {number}.wav": sound(seed=number) for number in range(6)}
    files |= {"text.wav": b"no sound", "silent.wav": sound(peak=0), "slow.wav": sound(900, rate=1)}
    data = folder(tmp_path / "data", files)
    listing = list_clips([data])
    remarks = Remarks()
    waves = read_clips([data], [key for key, *_ in listing], 0.5, pipe.config.mel, remarks=remarks)
    assert len(listing) == 9 and len(waves) == 6 and len(remarks.lines()) == 1
    lines = []
    gather(pipe, [data], EvaluationOptions(clips=8, seconds=0.5), lines.append)
    assert lines[0].startswith("3 left out: ") and "data/silent.wav (is silent)" in lines[0]
    assert lines[1].startswith("9 without a caption, called by the names of their files: ")
