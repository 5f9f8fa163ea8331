"""Shards as tar makes them by hand: what is in them is used rightly, or refused in one line that names the shard."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clips import SOUND, entry, folder, shard, sound
from support.drawn import examples

from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.data.clips import open_cache
from specmaskgit_cli.data.remarks import Remarks
from specmaskgit_cli.data.shards import read_shard
from specmaskgit_cli.data.sources import find_sources, iterate_clips
from specmaskgit_cli.errors import SmgError

PAIRS = [("0.wav", None), ("0.json", {"caption": "a dog"}), ("1.flac", None), ("1.txt", "light rain\n")]
CAPTIONS = {"0": "a dog", "1": "light rain"}


def clips(path):
    remarks = Remarks()
    found = {key: (audio.read_bytes(), info["caption"]) for key, audio, info in iterate_clips(path, remarks)}
    return found, remarks.lines()


def captions(path):
    found, lines = clips(path)
    assert all(data == SOUND for data, _ in found.values())
    return {key: caption for key, (_, caption) in found.items()}, lines


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    ("before", "keys"), [("", ""), ("./", ""), ("data/", "data/"), ("./v1.0/", "v1.0/"), ("a\\b.c\\", "a/b.c/")]
)
def test_names_as_tar_stores_them(tmp_path, format, before, keys):
    members = [entry(before.rstrip("/") or "top", tarfile.DIRTYPE)]
    members += [(before + name, content) for name, content in PAIRS]
    found, lines = captions(shard(tmp_path / "a.tar", members, format=format))
    assert found == {keys + key: caption for key, caption in CAPTIONS.items()} and not lines


def test_the_order_within_a_shard_does_not_matter(tmp_path):
    found, _ = captions(shard(tmp_path / "a.tar", PAIRS))
    assert captions(shard(tmp_path / "b.tar", PAIRS[::-1]))[0] == found
    assert captions(shard(tmp_path / "c.tar", PAIRS[::2] + PAIRS[1::2]))[0] == found


def test_what_belongs_to_a_clip(tmp_path):
    members = [
        ("0000.speech.wav", None), ("0000.speech.json", {"caption": "a voice"}), ("0000.mel.npy", b"\0" * 64),
        ("1.wav", None), ("1.flac", sound(seed=1)), ("1.txt", "rain"), ("2.wav", None), ("2.json", {"id": 2}),
        ("2.txt", "wind"), ("3.WAV", None), ("3.JSON", {"caption": None}), ("3.txt", "snow"), ("4.txt", "alone"),
        ("._5.wav", b"finder"), (".hidden.wav", None), ("Dog_Bark-03.wav", None), ("c/x.wav", None),
        ("c/captions.csv", "file,caption\nx.wav,\"a bell, far\"\n"),
    ]  # fmt: skip
    found, lines = captions(shard(tmp_path / "a.tar", members))
    assert found == {
        "0000": "a voice", "1": "rain", "2": "wind", "3": "snow", "Dog_Bark-03": "dog bark", "c/x": "a bell, far"
    }  # fmt: skip
    assert lines == [
        "1 texts without a sound: 4.txt",
        "1 sounds of which another form is used: 1.flac",
        "1 without a caption, called by the names of their files: Dog_Bark-03.wav",
    ]


def test_names_that_come_twice_stay_apart(tmp_path):
    other = sound(seed=1)
    members = [("a.wav", None), ("a.wav", other), ("a.txt", "first"), ("a.txt", "second")]
    found = [
        (audio.read_bytes(), info["caption"]) for _, audio, info in iterate_clips(shard(tmp_path / "a.tar", members))
    ]
    assert found == [(SOUND, "first"), (other, "second")]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("0.speech.wav", None), ("0.noise.wav", None)], "0.speech.wav and 0.noise.wav are of one clip"),
        ([("0.wav", None), ("0.a.txt", "x"), ("0.b.txt", "y")], "0.a.txt and 0.b.txt are of one clip"),
        ([("0.wav", None), ("0.json", "{broken")], "0.json is no JSON"),
        ([("0.wav", None), ("0.json", ["a dog"])], "0.json is list"),
        ([("0.wav", None), ("0.json", '"a dog"')], "0.json is str"),
        ([("0.wav", None), ("0.json", "[" * 100_000)], "0.json is no JSON"),
        ([("0.wav", None), ("0.json", '{"n": ' + "9" * 5000 + "}")], "0.json is no JSON"),
        ([("0.wav", None), ("0.json", {"caption": 3})], "0.json: caption is int (3)"),
        ([("0.wav", None), ("0.json", {"caption": ["x", ["y"]]})], "0.json: caption is list"),
        ([("0.wav", None), ("0.json", {"label": {"a": 1}})], "0.json: label is dict"),
        ([("0.wav", None), ("0.txt", "café".encode("latin-1"))], "0.txt: line 1 is not UTF-8"),
        ([("0.wav", None), ("0.txt", "x" * 5000)], "0.txt has 5000 characters"),
        ([("0.wav", None), ("0.txt", "x" * (1 << 21))], "0.txt has 2097152 bytes"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_member(tmp_path, members, words):
    with pytest.raises(SmgError) as error:
        clips(shard(tmp_path / "a.tar", members))
    assert "a.tar: 0." in str(error.value) and words in str(error.value)


def test_texts_in_other_encodings(tmp_path):
    members = [
        ("0.wav", None),
        ("0.txt", "café".encode("utf-16")),
        ("1.wav", None),
        ("1.txt", "thé".encode("utf-8-sig")),
    ]
    assert captions(shard(tmp_path / "a.tar", members))[0] == {"0": "café", "1": "thé"}


def test_several_captions_and_numbers_of_classes(tmp_path):
    members = [("0.wav", None), ("0.json", {"caption": ["a dog", "a hound"], "label": 3})]
    ((_, _, info),) = iterate_clips(shard(tmp_path / "a.tar", members), remarks := Remarks())
    assert info == {"caption": "a dog", "label": "3"}
    assert remarks.lines() == ["1 with several captions, of which the first is used: 0.wav"]


def test_members_that_are_no_files_are_left_out(tmp_path):
    links = [(tarfile.SYMTYPE, "absent.wav"), (tarfile.LNKTYPE, "self4.wav"), (tarfile.SYMTYPE, "../../etc/passwd")]
    kinds = [(tarfile.FIFOTYPE, ""), (tarfile.CHRTYPE, ""), *links]
    members = [entry(f"self{number}.wav", kind, target) for number, (kind, target) in enumerate(kinds, 1)]
    found, (line,) = captions(shard(tmp_path / "a.tar", [*members, *PAIRS]))
    assert found == CAPTIONS and line.startswith("5 left out: self3.wav, self4.wav, self5.wav (a link; ")
    found, (line,) = captions(shard(tmp_path / "b.tar", [("v.m4a", b"x"), ("v.txt", "x"), *PAIRS]))
    assert found == CAPTIONS and line.startswith("1 left out: v.m4a (is MPEG-4, which cannot be read here; convert")


def sparse(path, size):
    """A shard with a member that GNU tar would have stored without its zeros."""
    made = tarfile.TarInfo("big.wav")
    made.type, made.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(made.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0" % 0 * 2  # one piece of nothing
    header[483:495] = (0x80 << 88 | size).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + shard(path, PAIRS).read_bytes())


def test_small_files_that_would_unfold_are_not_unfolded(tmp_path):
    sparse(tmp_path / "a.tar", 64 << 30)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.next().size == 64 << 30
    found, (line,) = captions(tmp_path / "a.tar")
    assert found == CAPTIONS and line.startswith("1 left out: big.wav (stored sparse; ")
    data = shard(tmp_path / "b.tar", PAIRS).read_bytes()
    for pack, tool in ((gzip.compress, "gunzip"), (lzma.compress, "unxz")):
        (tmp_path / "b.tar").write_bytes(pack(data))
        with pytest.raises(SmgError, match=rf"b\.tar is compressed; unpack it \({tool}\)"):
            clips(tmp_path / "b.tar")


def test_sounds_too_large_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("specmaskgit_cli.data.shards.MAX_SOUND_BYTES", len(SOUND))
    found, (line,) = captions(
        shard(tmp_path / "a.tar", [("big.wav", SOUND + b"x"), ("video.mp5", b"x" * 9999), *PAIRS])
    )
    assert found == CAPTIONS and line.startswith("1 left out: big.wav (larger than ")


def test_damaged_shards_are_refused_wherever_the_damage_is(tmp_path):
    data = shard(tmp_path / "good.tar", PAIRS).read_bytes()
    second = data.index(b"0.json")
    damaged = {
        "cut.tar": data[: second + 100], "middle.tar": data[:second] + b"\xff" * 512 + data[second + 512 :],
        "half.tar": data[:300], "two.tar": data + data, "empty.tar": b"", "text.tar": b"x" * 2000,
    }  # fmt: skip
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SmgError, match=rf"{name}: not a readable shard \(.*\); fetch or make it again"):
            clips(tmp_path / name)
    (tmp_path / "unfinished.tar").write_bytes(data[: data.index(b"1.flac")])
    found, lines = captions(tmp_path / "unfinished.tar")
    assert found == {"0": "a dog"} and lines == [
        "1 shards without an end mark, of which some may be missing: unfinished.tar"
    ]


def test_a_shard_that_changes_after_its_headers_were_read(tmp_path):
    path = shard(tmp_path / "a.tar", PAIRS)
    (sound, *_) = read_shard(path, Remarks()).sounds
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(SmgError, match=r"a\.tar: 0\.wav is cut short"):
        sound.audio.read_bytes()


def test_good_shards_are_decoded_before_broken_ones_are_named(tmp_path):
    data = folder(tmp_path / "data", {"b.tar": b"broken" * 400, "d.tar": b""})
    for name in "ac":
        shard(data / f"{name}.tar", [(f"{name}{key}", content) for key, content in PAIRS])
    lines = []
    with pytest.raises(SmgError, match=r"2 of 4 sources cannot be read: .*b\.tar: .*d\.tar: "):
        open_cache([data], MelConfig(), tmp_path / "cache", lines.append, waves=False)
    assert lines == ["decoded a.tar: 2 clips", "decoded c.tar: 2 clips"]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    (data / "b.tar").unlink()
    (data / "d.tar").unlink()
    lines.clear()
    train, val = open_cache([data], MelConfig(), tmp_path / "cache", lines.append, waves=False)
    assert not lines and len({clip.key for clip in (*train.clips, *val.clips)}) == 4


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.tar.gz": b"x"}, r"a\.tar\.gz is packed, which is not read; unpack it"),
        ({"a.tar": b"", "b.tgz": b"x"}, r"b\.tgz is packed"),
        ({"a.tar": b"", "x/b.wav": None}, r"holds shards \(a\.tar\) and sounds \(.*b\.wav\)"),
        ({"train/a.tar": b"", "README": b""}, "the shards of .* lie in folders of it; .*train"),
    ],
)
def test_folders_whose_meaning_is_not_clear(tmp_path, files, words):
    with pytest.raises(SmgError, match=words):
        find_sources([folder(tmp_path / "data", files)])


def test_files_that_are_no_shards(tmp_path):
    for name, words in (
        ("a.tar.gz", "packed; unpack it"),
        ("a.zip", "packed; unpack it"),
        ("a.wav", "not a folder or"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(SmgError, match=words):
            find_sources([tmp_path / name])
    folder(tmp_path / "data", {"a.WAV": None, "raw.tar.gz": b"x"})  # what the sounds came in
    assert find_sources([tmp_path / "data"]) == [tmp_path / "data"]
    assert find_sources([shard(tmp_path / "B.TAR", PAIRS)]) == [tmp_path / "B.TAR"]


BASE = io.BytesIO()
with tarfile.open(fileobj=BASE, mode="w", format=tarfile.PAX_FORMAT) as tar:
    for name, data in (("é" * 60 + ".wav", SOUND), ("0.wav", SOUND), ("0.json", b'{"caption": "x"}')):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
HEADERS = [at for at in range(0, len(BASE.getvalue()), 512) if BASE.getvalue()[at + 257 : at + 262] == b"ustar"]


DAMAGE = st.tuples(st.sampled_from(HEADERS), st.integers(0, 511), st.binary(min_size=1, max_size=12))


@examples(400)
@given(st.lists(DAMAGE, max_size=3), st.booleans(), st.integers(0, 20000))
def test_any_damage_is_one_line(tmp_path_factory, damage, mend, cut):
    data = bytearray(BASE.getvalue()[: max(0, len(BASE.getvalue()) - cut // 4 * (cut % 4 == 0))])
    for header, at, content in damage:
        data[header + at : header + at + len(content)] = content
        if mend and len(data) >= header + 512:  # a checksum that is right, over values that are not
            data[header + 148 : header + 156] = b" " * 8
            data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    path = tmp_path_factory.mktemp("damage") / "x.tar"
    path.write_bytes(data)
    started = time.monotonic()
    try:
        for _, audio, info in iterate_clips(path):
            assert audio.size <= len(data) and isinstance(info["caption"], str) and info["caption"]
            audio.read_bytes()
    except SmgError as error:
        assert str(path) in str(error)
    assert time.monotonic() - started < 5
