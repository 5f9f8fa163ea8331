"""Folders of sounds with captions as people write them: used rightly, or refused in one line that names the file."""

from __future__ import annotations

import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clips import folder, sound
from support.drawn import JSON, examples

from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.data.clips import open_cache
from specmaskgit_cli.data.descriptions import caption_from_name, label_of, texts_of
from specmaskgit_cli.data.remarks import Remarks, listed
from specmaskgit_cli.data.sources import iterate_clips
from specmaskgit_cli.errors import SmgError

DOGS = {f"dog_{number}.wav": None for number in range(3)}


def captions(path):
    remarks = Remarks()
    found = {key: info["caption"] for key, _, info in iterate_clips(path, remarks)}
    return found, remarks.lines()


def of_dogs(path, files):
    """Captions of three sounds named dog_0 to dog_2.wav, with other files beside them."""
    found, lines = captions(folder(path, DOGS | files))
    return [found[name] for name in DOGS], lines


NAMED = "without a caption, called by the names of their files: "


def test_tables_as_spreadsheets_save_them(tmp_path):
    text = 'File;Caption;Label\ndog_0.wav;"a dog; loud";dog\ndog_1.wav;café;\ndog_2.wav;;\n'
    for number, encoding in enumerate(("utf-8", "utf-8-sig", "utf-16")):
        found, lines = of_dogs(tmp_path / str(number), {"captions.csv": text.encode(encoding)})
        assert found == ["a dog; loud", "café", "dog"] and lines == [f"1 {NAMED}dog_2.wav"]
    found, _ = of_dogs(tmp_path / "tabs", {"metadata.tsv": text.replace(";", "\t").encode()})
    assert found == ["a dog\t loud", "café", "dog"]


@pytest.mark.parametrize(
    ("row", "file"),
    [
        (".\\sub\\a b.wav", "sub/a b.wav"),
        ("./sub/a.wav", "sub/a.wav"),
        ("a.wav", "sub/a.wav"),
        ("sub/a", "sub/a.wav"),
        ("a", "sub/a.flac"),
        (" a.wav ", "a.wav"),
        (unicodedata.normalize("NFC", "é.wav"), unicodedata.normalize("NFD", "é.wav")),
    ],
)
def test_names_in_tables_are_found(tmp_path, row, file):
    (tmp_path / "captions.jsonl").write_text(json.dumps({"file_name": row, "caption": "a bell"}))
    assert captions(folder(tmp_path, {file: None})) == ({file: "a bell"}, [])


def test_tables_in_folders_below_name_what_lies_beside_them(tmp_path):
    table = "file,caption\na.wav,{}\n"
    files = {
        "x/a.wav": None,
        "x/captions.csv": table.format("one"),
        "y/z/a.wav": None,
        "y/captions.csv": "file,caption\nz/a.wav,two",
    }
    assert captions(folder(tmp_path, files)) == ({"x/a.wav": "one", "y/z/a.wav": "two"}, [])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("captions.csv", b"file,caption\nsounds\\dog_0.wav,a dog\n", "none of its 1 rows names a sound"),
        ("captions.csv", b"file,caption\ndog_0.wav,a dog, loud\n", "line 2 has 3 cells for 2 columns"),
        ("captions.csv", "file,caption\ndog_0.wav,café\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("captions.csv", b"name,caption\ndog_0.wav,a dog\n", "no column `file`"),
        ("captions.csv", b"file,text\ndog_0.wav,a dog\n", "no column `caption`"),
        ("captions.csv", b"file,caption\n,a dog\ndog_0.wav,b\n", "row 1 (line 2): column file names no file"),
        ("captions.jsonl", b'{"file": "dog_0.wav", "caption": "a dog"}\n{oops\n', "line 2 is no JSON"),
        ("captions.jsonl", b'["dog_0.wav", "a dog"]\n', "line 1 is list"),
        ("captions.jsonl", b'{"file": 3, "caption": "a dog"}\n', "column file names no file"),
        ("captions.jsonl", b'{"file": "dog_0.wav", "caption": {"en": "a dog"}}\n', "caption is dict"),
        ("captions.jsonl", b'{"file": "dog_0.wav", "caption": true}\n', "caption is bool"),
        ("dog_0.txt", "café".encode("latin-1"), "line 1 is not UTF-8"),
        ("dog_0.txt", "a dog".encode("utf-16-le"), "zero bytes"),
        ("dog_0.json", b"{broken", "is no JSON"),
        ("dog_0.json", b'["a dog"]', "is list"),
        ("dog_0.json", b'"a dog"', "is str"),
        ("dog_0.json", b"[" * 99_999, "is no JSON"),
        ("dog_0.json", b'{"n": ' + b"9" * 5000 + b"}", "is no JSON"),
        ("dog_0.json", b'{"caption": "\\ud83d"}', "is no JSON"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_file(tmp_path, name, content, words):
    with pytest.raises(SmgError) as error:
        captions(folder(tmp_path, DOGS | {name: content}))
    assert str(error.value).startswith(str(tmp_path / name)) and words in str(error.value)


def test_rows_that_may_mean_several_sounds_are_refused(tmp_path):
    folder(tmp_path, {"x/a.wav": None, "y/a.wav": None, "captions.csv": "file,caption\na.wav,a bell\n"})
    with pytest.raises(SmgError, match=r"a\.wav may be x/a\.wav or y/a\.wav; write its whole path"):
        captions(tmp_path)


def test_what_is_made_up_for_is_said(tmp_path):
    table = "file,caption\ndog_0.wav,a dog\ndog_0.wav,a hound\ncat.wav,a cat\nsub\\dog_1.wav,a pup\n"
    found, lines = of_dogs(
        tmp_path, {"captions.csv": table, "dog_2.json": '{"caption": null}', "dog_2.txt": " a wolf\n"}
    )
    assert found == ["a dog", "dog", "a wolf"]
    assert lines == [
        f"2 of 4 rows of {tmp_path / 'captions.csv'} name no sound here: cat.wav, sub\\dog_1.wav",
        "1 with several captions, of which the first is used: dog_0.wav",
        f"1 {NAMED}dog_1.wav",
    ]
    found, lines = of_dogs(tmp_path / "none", {"captions.csv": "file,caption\n"})
    assert found == ["dog"] * 3 and lines[0].startswith("1 tables without a row: ")


def test_a_row_and_the_texts_beside_a_sound_complete_each_other(tmp_path):
    files = {"captions.csv": "file,label\na.wav,bell\nb.wav,dog\n", "a.wav": None, "b.wav": None}
    files |= {"a.json": '{"source": "mine", "label": "x"}', "a.txt": "a bell"}
    files["captions.csv"] = "file,label,caption\na.wav,bell,\nb.wav,dog,a dog\n"
    found = {key: info for key, _, info in iterate_clips(folder(tmp_path, files))}
    assert {k: found["a.wav"][k] for k in ("caption", "label", "source")} == {
        "caption": "a bell", "label": "bell", "source": "mine"
    }  # fmt: skip
    assert (found["b.wav"]["caption"], found["b.wav"]["label"]) == ("a dog", "dog")


def open_data(path, cache, **options):
    lines = []
    train, val = open_cache([path], MelConfig(), cache, lines.append, waves=False, **options)
    return {clip.key: clip for clip in (*train.clips, *val.clips)}, lines


def test_sounds_that_cannot_be_used_are_counted_and_named(tmp_path):
    files = {f"good {number}.wav": None for number in range(3)} | {"silent.wav": sound(peak=0), "._good.wav": b"finder"}
    files |= {"slow.wav": sound(seconds=2000, rate=1), "empty.wav": b"", "text.wav": b"no sound", "none.wav": sound(0)}
    files |= {f"{number}.m4a": b"\0\0\0\x18ftypM4A " for number in range(5)}
    data = folder(tmp_path / "data", files)
    (data / "folder.wav").mkdir()
    (data / "broken.wav").symlink_to("absent.wav")
    os.mkfifo(data / "pipe.wav")
    clips, lines = open_data(data, tmp_path / "cache")
    assert sorted(clips) == [f"data/good {number}.wav" for number in range(3)]
    assert lines[0] == "decoded data: 3 clips"
    assert lines[1].startswith(
        "data: 10 left out: 0.m4a, 1.m4a, 2.m4a and 2 more (is MPEG-4, which cannot be read here; "
    )
    assert "empty.wav, text.wav (not a sound file, or damaged; " in lines[1] and "and 2 other reasons" in lines[1]
    again, repeated = open_data(data, tmp_path / "cache")
    assert again == clips and repeated == lines[1:]
    for name in ("silent.wav", "slow.wav"):
        (data / name).rename(tmp_path / name)
    assert "none.wav (holds no samples" in open_data(data, tmp_path / "cache")[1][1]


@pytest.mark.parametrize(("files", "words"), [
    ({"a.m4a": b"x"}, "MPEG-4, which cannot be read here"), ({"slow.wav": sound(900, rate=1)}, "sample rate of 1 Hz"),
    ({}, "no audio clip could be read from"),
])  # fmt: skip
def test_why_there_is_nothing_to_train_on(tmp_path, files, words):
    data = folder(tmp_path, files | {"readme.md": "x"})
    for _ in range(2):  # a piece without a clip is no piece
        with pytest.raises(SmgError, match="no audio clip could be read from") as error:
            open_data(data, tmp_path / "cache")
        assert words in str(error.value)


def test_names_that_are_no_text(tmp_path):
    folder(tmp_path / "data", {"ok.wav": None})
    os.link(tmp_path / "data" / "ok.wav", os.fsencode(tmp_path) + b"/data/\xff\xfe_dog.wav")
    os.link(tmp_path / "data" / "ok.wav", os.fsencode(tmp_path) + b"/data/\xff.wav")
    clips, lines = open_data(tmp_path / "data", tmp_path / "cache")
    assert len(clips) == 3 and {clip.caption for clip in clips.values()} >= {"dog", "ok"}
    assert all(clip.caption.encode() for clip in clips.values())
    assert lines[1].startswith("data: 3 without a caption")


def test_the_name_of_a_piece_stays_what_it_was(tmp_path):
    """A cache of thousands of hours is found again by it."""
    from specmaskgit_cli.data.clips import _digest

    data = folder(tmp_path / "data", {"a.wav": bytes(range(256)) * 1000, "b/a.txt": "a bell", "captions.csv": "file\n"})
    assert _digest(data, MelConfig()) == "e2d8661bcfb448ad"


def test_labels_that_are_no_word_for_a_sound_give_way_to_the_caption(tmp_path):
    files = {f"{number}.wav": sound(seed=number) for number in range(4)}
    for number, label in enumerate(("rain|wind", "7", "rain", "")):
        files[f"{number}.json"] = json.dumps({"caption": f"sound {number}", "label": label, "source": [1]})
    clips, _ = open_data(folder(tmp_path / "d", files), tmp_path / "cache", hold_out=frozenset(["x"]))
    found = [clips[f"d/{number}.wav"].label for number in range(4)]
    assert found == ["sound 0", "sound 1", "rain", "sound 3"]


@examples(300)
@given(JSON)
def test_captions_and_labels_are_texts_or_refused(value):
    for read in (texts_of, lambda v, place: list(filter(None, label_of(v, place).split("|")))):
        try:
            assert all(isinstance(text, str) and text == text.strip() for text in read(value, "here"))
        except SmgError as error:
            assert str(error).startswith("here is ")


@examples(300)
@given(st.binary(min_size=1, max_size=20))
def test_every_name_gives_a_caption(name):
    caption = caption_from_name(os.fsdecode(name))
    assert caption and caption.encode("utf-8")


def test_lists_are_short():
    assert listed(["a"]) == "a" and listed(list("abcd")) == "a, b, c and 1 more"
    assert Remarks().lines() == []
