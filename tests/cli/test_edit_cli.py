"""The editing commands: what they write, and that bad input is one clear line and no file."""

import json
import shlex
import sys

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.cli import run
from specmaskgit_cli.sounds.record import read_record

COMMANDS = {
    "inpaint": ["--start", "0.2", "--end", "0.4"],
    "extend": [],
    "continue": ["--seconds", "0.5"],
    "vary": ["--amount", "0.5"],
    "sketch": ["--prompt", "rain"],
    "loop": [],
}


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    """An empty directory with a sound, whose model is the tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    samples = np.random.default_rng(0).standard_normal((8000, 2)) * 0.1
    soundfile.write("in.wav", samples, 8000)
    return tmp_path


def edit(command, *more):
    return run([command, *more, "--steps", "2", "--threads", "1"])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_writes_its_file(folder, capsys, command):
    before = (folder / "in.wav").read_bytes()
    assert (
        edit(command, "in.wav", *COMMANDS[command], "-o", "out.wav", "--json", "--seed", "3", "--image", "x.png") == 0
    )
    (sound,) = json.loads(capsys.readouterr().out)["sounds"]
    info = soundfile.info("out.wav")
    assert sound["file"] == "out.wav" and sound["input"] == "in.wav" and sound["seed"] == 3
    assert info.samplerate == (22050 if command in ("extend", "sketch") else 8000)
    assert info.channels == (1 if command == "sketch" else 2)
    assert info.duration == pytest.approx(1.5 if command == "continue" else 1.0, abs=1e-4)
    assert (folder / "x.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "in.wav").read_bytes() == before


def test_extend_names_its_output_and_says_when_there_is_nothing_to_do(folder, capsys):
    assert edit("extend", "in.wav") == 0
    assert "ends at 3" in capsys.readouterr().err and (folder / "in.extended.wav").exists()
    soundfile.write("full.wav", np.random.default_rng(0).standard_normal(22050) * 0.1, 22050)
    assert edit("extend", "full.wav") == 0
    assert "nothing was written" in capsys.readouterr().err and not (folder / "full.extended.wav").exists()


def test_variations_are_numbered(folder):
    assert edit("vary", "in.wav", "-n", "2", "-o", "v.wav", "-q") == 0
    assert (folder / "v-1.wav").read_bytes() != (folder / "v-2.wav").read_bytes()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["absent", "empty", "text", "truncated", "nan", "one", "silent", "itself"])
def test_bad_files_are_one_line_and_no_file(folder, capsys, command, kind):
    good = (folder / "in.wav").read_bytes()
    if kind == "empty":
        (folder / "bad.wav").write_bytes(b"")
    elif kind == "text":
        (folder / "bad.wav").write_text("this is no sound")
    elif kind == "truncated":
        (folder / "bad.wav").write_bytes(good[:30])
    elif kind == "nan":
        soundfile.write("bad.wav", np.full(8000, np.nan, np.float32), 8000, subtype="FLOAT")
    elif kind == "one":
        soundfile.write("bad.wav", np.ones(1), 8000)
    elif kind == "silent":
        soundfile.write("bad.wav", np.zeros(8000), 8000)
    (folder / "link.wav").symlink_to("in.wav")
    names = ("in.wav", "link.wav") if kind == "itself" else ("bad.wav", "out.wav")
    assert edit(command, names[0], *COMMANDS[command], "-o", names[1]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smg: error: ") and "bug" not in line and ("wav" in line or "prompt" in line)
    assert not (folder / "out.wav").exists() and (folder / "in.wav").read_bytes() == good


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inpaint", "--start", "0.5", "--end", "2"], "which lasts 1 s"),
        (["inpaint", "--start", "0.5", "--end", "0.2"], "ends before it begins"),
        (["inpaint", "--start", "-1", "--end", "0.2"], "start is -1"),
        (["inpaint", "--start", "nan", "--end", "0.2"], "start is nan"),
        (["inpaint", "--start", "1.5"], "begins after the sound, which lasts 1 s"),
        (["inpaint", "--end", "1.02"], "which lasts 1 s"),
        (["inpaint"], "nothing to inpaint"),
        (["inpaint", "--low", "500"], "--start and --end"),
        (["inpaint", "--box", "0.1:0.3:9000:12000"], "above 4000 Hz"),
        (["inpaint", "--box", "0.1:0.3:2000:1000"], "ends before it begins"),
        (["inpaint", "--box", "a:b"], "--box is 'a:b'"),
        (["inpaint", "--box", "0.1"], "--box is '0.1'"),
        (["inpaint", "--box", "0:10:0:30"], "may be two times"),
        (["inpaint", "--start", "1:75"], "start is '1:75'; use seconds, m:ss or h:mm:ss"),
        (["inpaint", "--start", "0:00.2", "--end", "0:05"], "from 0.2 to 5 s is outside"),
        (["inpaint", "--start", "0", "--end", "1"], "say with a prompt"),
        (["extend", "--cutoff", "5000"], "above 4000 Hz"),
        (["extend", "--cutoff", "0"], "cutoff is 0"),
        (["continue", "--seconds", "0"], "seconds is 0"),
        (["continue", "--seconds", "1e9"], "seconds is"),
        (["vary", "--amount", "1.5"], "amount is 1.5"),
        (["vary", "--prompt", " "], "prompt is empty"),
        (["sketch"], "say with a prompt what to hear"),
        (["loop", "--join", "0"], "join is 0"),
    ],
)
def test_bad_options_are_one_line_and_no_file(folder, capsys, arguments, words):
    command, *options = arguments
    assert edit(command, "in.wav", *options, "-o", "out.wav") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smg: error: ") and words in line
    assert not (folder / "out.wav").exists()


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        (["--start", "0.8"], 0.8, 1),
        (["--end", "0.2"], 0, 0.2),
        (["--start", "0:00.7", "--end", "1.006"], 0.7, 1),
        (["--box", "0:00.7-0:00.9"], 0.7, 0.9),
        (["--box", "0.75:"], 0.75, 1),
    ],
)
def test_where_a_span_begins_and_ends(folder, arguments, start, end):
    assert edit("inpaint", "in.wav", *arguments, "-o", "out.wav", "--seed", "1", "-q") == 0
    before, after = soundfile.read("in.wav")[0], soundfile.read("out.wav")[0]
    changed = np.flatnonzero(np.any(before != after, axis=1)) / 8000
    assert start <= changed[0] < start + 0.01 and end - 0.01 < changed[-1] < end
    (box,) = read_record("out.wav").options.boxes
    assert (box.start, box.end) == (start, end)


# Hears a dog in noise that is loud, which it is no longer without its highs.
TAGGER = """
import csv, pathlib, sys
import soundfile
manifest, out = (pathlib.Path(sys.argv[sys.argv.index(name) + 1]) for name in ("--manifest", "--out"))
with manifest.open() as file, out.open("w", newline="") as scores:
    write = csv.writer(scores)
    write.writerow(["file", "expected", "rank", "probability", "top5"])
    for row in csv.DictReader(file):
        right = row["expected"] == "Dog, barking" and soundfile.read(manifest.parent / row["file"])[0].std() > 0.16
        write.writerow([row["file"], row["expected"], 1 if right else 9, right * 0.5, "Dog, barking 0.50; Rain 0.1"])
"""


def test_evaluation_of_edits(folder, capsys):
    for index in range(2):
        soundfile.write(f"clip {index}.wav", np.random.default_rng(index).standard_normal(22050 * 4) * 0.1, 22050)
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(22050 * 4) * 0.1)
    spectrum[3000 * 4 :] = 0  # ends below the cut-off by itself
    soundfile.write("clip 2.wav", np.fft.irfft(spectrum), 22050)
    (folder / "tagger.py").write_text(TAGGER)
    judge = f"{shlex.quote(sys.executable)} tagger.py"
    assert edit("evaluate", "edits", "--data", ".", "--clips", "3", "--judge", judge, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    extend, inpaint = report["extend"], report["inpaint"]
    assert report["clips"]["count"] == inpaint["clips"] == 3 and extend["clips"] == 2
    assert inpaint["greatest_change_outside"] == 0 and report["continue"]["changed_samples"] == 0
    assert extend["before_above"] > extend["before"] > extend["true_mel"] > 0
    assert extend["matched_before"] == pytest.approx(1.82) and 1e-8 < extend["matched_floor"] < 1
    assert extend["matched_extended"] < extend["extended"] and extend["matched_before"] < extend["matched_before_above"]
    assert extend["judge_hit5_original"] == 1 > extend["judge_hit5_before"] == 0
    assert 0 <= inpaint["judge_probability_inpainted"] <= 0.5

    (folder / "tagger.py").write_text(TAGGER.replace("top5", "top"))
    assert edit("evaluate", "edits", "--data", ".", "--clips", "1", "--judge", judge) == 1
    assert "no usable column top5" in capsys.readouterr().err
