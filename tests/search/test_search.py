"""Sounds are found by texts and by sounds; the index reads what is new or changed, and survives what ends it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from support.json_page import parsed

from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.options.search import SearchOptions
from specmaskgit_cli.pipeline import load
from specmaskgit_cli.search import find
from specmaskgit_cli.search.find import search

RATE = 22050
RAIN = SearchOptions(prompt="rain")


@pytest.fixture(scope="module")
def prompts(trained):
    return load(str(trained[1]), threads=1).engine.prompts


def tone(seconds: float, hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * RATE)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three short sounds, a long one with noise from 6 to 9 s, and what cannot be searched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    sounds = tmp_path / "sounds"
    (sounds / "deep").mkdir(parents=True)
    soundfile.write(sounds / "low.wav", tone(0.5, 100), RATE)
    soundfile.write(sounds / "high.flac", np.stack([tone(0.5, 4000)] * 2, 1), RATE)
    soundfile.write(sounds / "deep" / "noise.wav", noise(1), RATE)
    long = np.concatenate([tone(6, 100), noise(3), tone(3, 100)])
    soundfile.write(sounds / "long.ogg", long, RATE)
    soundfile.write(sounds / "silent.wav", np.zeros(2000), RATE)
    (sounds / "broken.wav").write_bytes(b"RIFF, or so")
    (sounds / "song.m4a").write_bytes(b"")
    return sounds


def names(found) -> list[str]:
    return [match.file.removeprefix("sounds" + os.sep) for match in found.matches]


def test_a_text_and_a_sound_find_the_nearest(folder, prompts):
    found = search(prompts, ["sounds"], RAIN)
    assert (found.files, found.read, found.dropped) == (5, 5, 0)
    assert sorted(names(found)) == sorted(["low.wav", "high.flac", os.path.join("deep", "noise.wav"), "long.ogg"])
    scores = [match.score for match in found.matches]
    assert scores == sorted(scores, reverse=True)
    cosine = prompts.hear(soundfile.read(folder / "low.wav", dtype="float32")[0])[0] @ prompts.text("rain")[0]
    low = next(match for match in found.matches if match.file.endswith("low.wav"))
    assert low.score == pytest.approx(cosine, abs=2e-3) and low.seconds == 0.5
    (line,) = found.remarks.lines()
    assert line.startswith("2 left out: sounds/song.m4a (is MPEG-4") and ", sounds/broken.wav (not a sound" in line

    soundfile.write("other.wav", tone(0.7, 4000), RATE)
    assert names(search(prompts, ["sounds"], SearchOptions(like="other.wav", num=1))) == ["high.flac"]
    like = search(prompts, ["sounds"], SearchOptions(like="sounds/low.wav"))
    assert "low.wav" not in names(like) and len(like.matches) == 3, "a sound would only find itself"


def test_a_place_in_a_long_recording_is_found(folder, prompts):
    place = SearchOptions(like="sounds/deep/noise.wav")
    (match,) = search(prompts, ["sounds/long.ogg"], place).matches
    assert (match.file, match.start, match.end, match.seconds) == ("sounds/long.ogg", 4, 8, 12)
    found = search(prompts, ["sounds/long.ogg"], replace(place, places=True)).matches
    assert sorted((each.start, each.end) for each in found) == [(0, 4), (4, 8), (8, 12)] and found[0] == match
    wide = search(prompts, ["sounds"], replace(place, places=True, num=2)).matches
    assert [each.file for each in wide] == ["sounds/long.ogg"] * 2


def test_only_what_is_new_or_changed_is_read(folder, prompts, monkeypatch):
    search(prompts, ["sounds"], RAIN)
    heard = []
    hear = prompts.hear
    monkeypatch.setattr(prompts, "hear", lambda samples: heard.append(len(samples)) or hear(samples))
    again = search(prompts, ["sounds", "sounds/deep"], RAIN)
    assert (again.files, again.read, again.dropped, heard) == (5, 0, 0, []) and len(again.matches) == 4
    soundfile.write(folder / "low.wav", tone(0.8, 100), RATE)
    soundfile.write(folder / "new.wav", tone(0.2, 700), RATE)
    (folder / "high.flac").unlink()
    (folder / "deep" / "noise.wav").write_bytes(b"no longer a sound")
    found = search(prompts, ["sounds"], RAIN)
    assert (found.files, found.read, found.dropped) == (4, 2, 1) and len(heard) == 2
    assert sorted(names(found)) == ["long.ogg", "low.wav", "new.wav"]
    assert search(prompts, ["sounds/deep/../low.wav"], RAIN).read == 0, "files go by their whole paths"
    monkeypatch.setattr(prompts, "checkpoint", replace(prompts.checkpoint, hash="of another"))
    other = search(prompts, ["sounds/low.wav"], RAIN)
    assert other.read == 1, "another model hears otherwise"


def test_an_interrupt_loses_little(folder, prompts, monkeypatch):
    monkeypatch.setattr(find, "_SAVE_EVERY", 2)

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(prompts, ["sounds"], RAIN, progress=interrupt)
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:  # within a sound
        patched.setattr(prompts, "hear", lambda samples: interrupt(4, 4))
        search(prompts, ["sounds"], RAIN)
    found = search(prompts, ["sounds"], RAIN)
    assert found.files == 5 and found.read == 2, "broken.wav and three sounds were done"


def test_the_command_reports(folder, trained, capsys):
    arguments = ["search", "sounds", "rain", "-n", "3", "--model", str(trained[1]), "--playlist", "found.m3u8"]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1 and err.startswith("smg: 2 left out: sounds/")
    assert [line.split()[0] for line in out.splitlines()] == ["1", "2", "3"]
    assert run([*arguments, "--index", "other.sqlite", "--json", "--places", "-q"]) == 0
    out, err = capsys.readouterr()
    report = parsed(out)
    assert err == "" and report["read"] == report["files"] == 5 and len(report["results"]) == 3
    assert {each["file"] for each in report["left_out"]} == {"sounds/broken.wav", "sounds/song.m4a"}
    lines = (folder.parent / "found.m3u8").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#EXTM3U"
    paths = [line for line in lines if not line.startswith("#")]
    assert paths == [str((folder.parent / each["file"]).resolve()) for each in report["results"]]
    assert run(["search", "sounds/long.ogg", "--like", "sounds/deep/noise.wav", "--model", str(trained[1])]) == 0
    assert capsys.readouterr().out.endswith("  12.0 s  sounds/long.ogg  at 0:04\n")


def test_what_cannot_be_is_refused_in_one_line(folder, trained, capsys):
    soundfile.write("silence.wav", np.zeros(1000), RATE)
    (folder.parent / "empty").mkdir()
    (folder.parent / "text.db").write_text("no database, but a text that is long enough to be looked at " * 9)
    with sqlite3.connect("theirs.db") as theirs:
        theirs.execute("CREATE TABLE sounds (path)")
    theirs.close()
    index = folder.parent / "cache" / "search.sqlite"
    for arguments, text in (
        (["sounds"], "only 'sounds' is given; name folders first"),
        (["rain", "sounds"], "rain: no such folder; name folders of sounds first"),
        (["empty", "rain"], "empty: no sound file that can be read"),
        (["sounds", " "], "prompt is empty"),
        (["sounds", "rain", "-n", "0"], "num is 0"),
        (["sounds", "--like", "silence.wav"], "silence.wav is silent"),
        (["sounds", "--like", "none.wav"], "none.wav: no such file"),
        (["sounds", "rain", "--like", "sounds/low.wav"], "rain: no such folder"),
        (["sounds", "rain", "--playlist", "found.txt"], "end the name in .m3u8"),
        (["sounds", "rain", "--index", "text.db"], "text.db: no index of smg search, or damaged"),
        (["sounds", "rain", "--index", "theirs.db"], "theirs.db is a database of another program"),
        (["sounds", "rain", "--index", "no/where.db"], "does not exist; make it first"),
    ):
        assert run(["search", *arguments, "--model", str(trained[1])]) in (1, 2), arguments
        out, err = capsys.readouterr()
        assert text in err and len(err.splitlines()) == 1 and out == "", err
    assert not index.exists(), "nothing was read for what could not be found"
    for wrong in ({}, {"prompt": "rain", "like": "a.wav"}):
        with pytest.raises(UsageError):
            SearchOptions(**wrong)


def test_an_index_of_another_version_or_that_is_locked_is_refused(folder, prompts, monkeypatch):
    search(prompts, ["sounds/low.wav"], RAIN, folder.parent / "x.sqlite")
    other = sqlite3.connect(folder.parent / "x.sqlite", isolation_level=None)
    monkeypatch.setattr("specmaskgit_cli.search.index._PATIENCE", 0.05)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SmgError, match="locked"):
        search(prompts, ["sounds/low.wav"], RAIN, folder.parent / "x.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.execute("COMMIT")
    other.close()
    with pytest.raises(SmgError, match="another version"):
        search(prompts, ["sounds/low.wav"], RAIN, folder.parent / "x.sqlite")


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_names_of_any_bytes(folder, prompts, trained):
    name = os.fsencode(folder) + b"/\xff\xe9\nnew.wav"
    soundfile.write(name, tone(0.3, 900), RATE)
    from specmaskgit_cli.search.playlist import write_playlist

    found = search(prompts, ["sounds"], SearchOptions(like="sounds/low.wav"))
    assert search(prompts, ["sounds"], RAIN).read == 0
    (match,) = [match for match in found.matches if "new" in match.file]
    assert os.fsencode(match.file) == b"sounds/\xff\xe9\nnew.wav"
    write_playlist("x.m3u8", [match])
    assert (folder.parent / "x.m3u8").read_bytes().splitlines()[2].endswith(b"/sounds/%FF%E9%0Anew.wav")
