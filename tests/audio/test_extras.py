"""What files hold beside their samples: loops, tags, pictures, speakers, and samples of more than 24 bits."""

import base64

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, TIT2, TPE1, TXXX
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from specmaskgit_cli.audio.encoding import FORMATS
from specmaskgit_cli.audio.files import read_audio, read_exactly, write_audio
from specmaskgit_cli.audio.inputs import stored
from specmaskgit_cli.audio.loops import read_loop, seam
from specmaskgit_cli.audio.metadata import read_comment
from specmaskgit_cli.audio.tags import Extras, read_extras, read_tags
from specmaskgit_cli.cli import run
from specmaskgit_cli.tasks.source import Source

RATE = 22050
CHORDS = "Les Élégants \U0001f415"


def cycle(seconds=1.5, rate=RATE) -> np.ndarray:
    """Periodic noise: its end runs into its beginning."""
    size = round(seconds * rate)
    rng, spectrum = np.random.default_rng(0), np.zeros(size // 2 + 1, complex)
    count = size // 16
    spectrum[10:count] = rng.standard_normal(count - 10) * np.exp(2j * np.pi * rng.random(count - 10))
    wave = np.fft.irfft(spectrum, size)
    return (0.4 * wave / np.abs(wave).max()).astype(np.float32)


def cover() -> Picture:
    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = bytes(range(256)) * 200, "image/png", 3, "front"
    return picture


@pytest.mark.parametrize("extension", FORMATS)
def test_loops_tell_where_they_begin_and_end(tmp_path, extension):
    path, wave = tmp_path / f"a.{extension}", cycle()
    write_audio(path, wave, RATE, loop=True, metadata={"comment": "abc"})
    length = read_audio(path).samples.shape[1]
    assert read_loop(path) == (None if extension == "mp3" else (0, length))
    assert read_comment(path) == "abc"
    write_audio(tmp_path / f"b.{extension}", wave, RATE)
    assert read_loop(tmp_path / f"b.{extension}") is None
    assert len(seam(extension)) == (extension in ("ogg", "mp3"))


@pytest.mark.parametrize("rate", [22050, 48000])
def test_opus_loops_without_a_seam(tmp_path, rate):
    """Opus begins from silence: unless it is led in, the first samples are not what follows on the last ones."""
    wave, errors = cycle(rate=rate), {}
    for loop in (False, True):
        write_audio(tmp_path / "a.opus", wave, rate, loop=loop)
        write_audio(tmp_path / "a.flac", wave, rate, loop=loop)
        made = read_audio(tmp_path / "a.opus")
        assert made.samples.shape[1] == round(len(wave) * made.rate / rate)
        ideal = cycle(rate=made.rate)
        error = made.samples[0] - ideal
        errors[loop] = np.abs(np.concatenate([error[-30:], error[:30]])).max() / np.abs(error).mean()
        steps = np.abs(np.diff(np.concatenate([made.samples[0], made.samples[0, :1]])))
        if loop:
            assert steps[-1] <= steps[:-1].max()
    assert errors[True] < 5
    again = tmp_path / "again.opus"
    write_audio(again, wave, rate, loop=True)
    write_audio(tmp_path / "a.opus", wave, rate, loop=True)
    assert again.read_bytes() == (tmp_path / "a.opus").read_bytes()


def test_a_sampler_chunk_of_others(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000), RATE)
    data = bytearray(path.read_bytes())
    body = np.zeros(15, "<u4")
    body[7], body[11], body[12] = 1, 100, 299
    data += b"smpl" + len(body.tobytes()).to_bytes(4, "little") + body.tobytes()
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    path.write_bytes(data)
    assert read_loop(path) == (100, 200)
    path.write_bytes(data[:-10])
    assert read_loop(path) is None


def tagged(folder, extension):
    """A sound with an artist, a title, a mood, a comment and a cover, as other programs write it."""
    path = folder / f"in.{extension}"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE if extension != "opus" else 24000,
                    format=FORMATS[extension][0], subtype=FORMATS[extension][1])  # fmt: skip
    if extension == "mp3":
        tag = ID3()
        for frame in (
            TPE1(encoding=3, text=CHORDS), TIT2(encoding=3, text="Rain"), TXXX(encoding=3, desc="MOOD", text="calm"),
            COMM(encoding=3, lang="eng", text="by hand"),
            APIC(encoding=3, mime="image/png", type=3, desc="front", data=cover().data),
        ):  # fmt: skip
            tag.add(frame)
        tag.save(path)
        return path
    file = {"flac": FLAC, "ogg": OggVorbis, "opus": OggOpus}[extension](path)
    file["artist"], file["title"], file["mood"], file["comment"] = CHORDS, "Rain", "calm", "by hand"
    if extension == "flac":
        file.add_picture(cover())
    else:
        file["metadata_block_picture"] = [base64.b64encode(cover().write()).decode()]
    file.save()
    return path


@pytest.mark.parametrize("given", ["flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("wanted", FORMATS)
def test_edits_keep_tags_and_pictures(tmp_path, given, wanted):
    extras = read_extras(tagged(tmp_path, given))
    assert extras.texts["artist"] == [CHORDS] and extras.texts["title"] == ["Rain"]
    assert extras.texts["description"] == ["by hand"] and len(extras.pictures) == 1
    out = tmp_path / f"out.{wanted}"
    write_audio(out, cycle(), RATE, extras=extras, metadata={"title": "inpaint: in", "comment": "how", "software": "s"})
    texts, pictures = read_tags(out)
    for name, value in {"artist": CHORDS, "title": "Rain", "mood": "calm", "description": "by hand"}.items():
        assert texts[name] == [value], name
    assert [picture.data for picture in pictures] == [cover().data] and pictures[0].type == 3
    assert read_comment(out) == "how" and read_audio(out).samples.shape[1] > 30000


def test_tags_that_are_damaged_are_none(tmp_path):
    path = tagged(tmp_path, "flac")
    data = path.read_bytes()
    for cut in (10, 50, 200, 9000):
        path.write_bytes(data[:cut])
        read_extras(path)
    path.write_bytes(data.replace(b"title=Rain", b"\xff\xfe\xff=\xff\xff\xff"))
    assert read_extras(path).texts.get("title") is None
    big = Extras({"lyrics": ["la " * 20_000], "artist": ["x"]})
    write_audio(tmp_path / "big.flac", cycle(), RATE, extras=big)
    assert read_extras(tmp_path / "big.flac").texts == {"artist": ["x"]}


def test_the_speakers_of_surround_sound_stay(tmp_path):
    path, out = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(path, np.zeros((1000, 6)) + 0.1, RATE, format="WAVEX", subtype="PCM_24")
    data = bytearray(path.read_bytes())
    data[40:44] = (0x3F).to_bytes(4, "little")
    path.write_bytes(data)
    extras = read_extras(path)
    assert extras.mask == 0x3F
    write_audio(out, np.zeros((6, 500), np.float32), RATE, subtype="PCM_24", extras=extras, metadata={"comment": "c"})
    assert read_extras(out).mask == 0x3F and soundfile.info(out).subtype == "PCM_24" and read_comment(out) == "c"
    write_audio(out, np.zeros((2, 500), np.float32), RATE, extras=extras)
    assert read_extras(out).mask is None and soundfile.info(out).channels == 2


@pytest.mark.parametrize("subtype", ["PCM_32", "DOUBLE"])
@pytest.mark.parametrize("before", [0, 700])
def test_samples_of_more_than_24_bits_stay_as_they_are(tmp_path, subtype, before):
    path, out = tmp_path / "in.wav", tmp_path / "out.wav"
    given = np.random.default_rng(0).integers(-(2**31), 2**31, (5000, 2)).astype(np.int32)
    soundfile.write(path, given if subtype == "PCM_32" else given / 2.0**31 / 3, RATE, subtype=subtype)
    source = Source.read(str(path))
    edited = np.pad(source.samples, ((0, 0), (before, 0)))
    edited[:, before + 1000 : before + 2000] = 0.25
    write_audio(out, source.restored(edited), RATE, subtype=subtype)
    a, b = (read_exactly(name, np.zeros((2, n))) for name, n in ((path, 5000), (out, 5000 + before)))
    kept = np.r_[0:1000, 2000:5000]
    np.testing.assert_array_equal(a[:, kept], b[:, before + kept])
    assert (b[:, before + 1000 : before + 2000] == 0.25).all()


def test_an_edit_on_the_command_line_keeps_all_of_it(tmp_path, monkeypatch, trained, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    tagged(tmp_path, "flac")
    few = ["--steps", "2", "--threads", "1", "--seed", "1"]
    assert run(["inpaint", "in.flac", "--start", "0.2", "--end", "0.4", *few, "-o", "out.mp3"]) == 0
    extras = read_extras(stored("out.mp3"))
    assert extras.texts["artist"] == [CHORDS] and extras.texts["title"] == ["Rain"] and extras.pictures
    assert '{"smg":' in read_comment("out.mp3")
    assert run(["loop", "in.flac", "--join", "0.3", *few, "-o", "loop.ogg"]) == 0
    assert "may click" in capsys.readouterr().err
    assert run(["info", "loop.ogg"]) == 0 and "loop: all of it" in capsys.readouterr().out
