"""Which formats of sound are decoded at all."""

import io

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.audio.files import read_audio
from specmaskgit_cli.audio.magic import is_decoded
from specmaskgit_cli.audio.metadata import read_comment
from specmaskgit_cli.audio.samples import decode
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError

NOISE = np.random.default_rng(0).standard_normal(22050) * 0.1
DECODED = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "OGG", "MP3"}


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    subtype = next(iter(soundfile.available_subtypes(kind)))
    soundfile.write(buffer, NOISE, 22050, format=kind, subtype=soundfile.default_subtype(kind) or subtype)
    return buffer.getvalue()


def tag(size: int) -> bytes:
    return b"ID3\x04\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + bytes(size)


@pytest.mark.parametrize("kind", sorted(soundfile.available_formats()))
def test_formats(tmp_path, capfd, kind):
    data = bytes(1000) if kind == "SD2" else encoded(kind)  # which libsndfile keeps in two files
    for name in ("a", "a.mp3", "a.vox", "a.gsm"):
        path = tmp_path / name
        path.write_bytes(data)
        if kind in DECODED:
            assert read_audio(path).samples.shape[1] >= 22050 and decode(data, 22050)[0].shape[1] >= 22050
            assert read_comment(path) == ""
        else:
            reads = (lambda p=path: read_audio(p), lambda: decode(data, 22050, "x"), lambda p=path: read_comment(p))
            for read in reads:
                with pytest.raises(SmgError, match="not a sound file"):
                    read()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["SDS", "IRCAM", "MAT4"])
def test_tags_hide_no_other_format(kind):
    for data in (tag(10) + encoded(kind), tag(10) * 3 + encoded(kind)):
        assert not is_decoded(io.BytesIO(data))


def test_tags_before_a_sound():
    for kind in ("MP3", "FLAC"):
        for tags in (tag(300), tag(20_000)):
            assert decode(tags + encoded(kind), 22050)[0].shape[1] >= 22050


NOTHING = [b"", b"I", b"ID3", tag(10), tag(1 << 27)[:50], tag(0) * 100, b"RIFF\0\0\0\0AVI ", b"\xff"]


@pytest.mark.parametrize("data", NOTHING)
def test_what_is_nothing(data):
    file = io.BytesIO(data)
    assert not is_decoded(file) and file.tell() == 0


def test_standard_output_is_for_results_alone(tmp_path, capfd):
    data = bytearray(encoded("SDS"))
    data[200:220] = b"\xff" * 20
    (tmp_path / "x.sds").write_bytes(data)
    assert run(["info", str(tmp_path / "x.sds"), "--json"]) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
