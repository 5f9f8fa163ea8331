"""Sound files: round trips, clear refusals, and never half a file."""

import errno
import io
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.audio import encoding, samples
from specmaskgit_cli.audio.encoding import FORMATS
from specmaskgit_cli.audio.files import (
    atomic_path,
    check_output,
    check_writable,
    read_audio,
    read_mono,
    resample,
    to_mono,
    write_audio,
)
from specmaskgit_cli.errors import SmgError

RATE = 22050


def tone(samples: int = RATE // 2, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)


@pytest.mark.parametrize("extension, tolerance", [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.1), ("mp3", 0.1)])
def test_round_trip(tmp_path, extension, tolerance):
    path = tmp_path / f"a.{extension.upper()}"
    write_audio(path, tone(), RATE, metadata={"title": "a tone", "software": "smg"})
    audio = read_audio(path)
    assert (audio.format, audio.subtype) == FORMATS[extension]
    assert audio.rate == RATE and audio.samples.shape == (1, RATE // 2) and audio.samples.dtype == np.float32
    np.testing.assert_allclose(audio.samples[0], tone(), atol=tolerance)
    with soundfile.SoundFile(path) as file:
        assert file.title == "a tone"


@pytest.mark.parametrize(
    "extension, rate, stored", [("opus", 22050, 24000), ("mp3", 96000, 48000), ("mp3", 9000, 11025)]
)
def test_rate_the_codec_lacks_is_resampled(tmp_path, extension, rate, stored):
    write_audio(tmp_path / f"a.{extension}", tone(rate // 2, 440, rate), rate)
    audio = read_audio(tmp_path / f"a.{extension}")
    assert audio.rate == stored
    spectrum = np.abs(np.fft.rfft(audio.samples[0]))
    assert spectrum.argmax() * audio.rate / audio.samples.shape[1] == pytest.approx(440, abs=5)


def test_channels_and_subtype(tmp_path):
    stereo = np.stack([tone(), -tone()])
    write_audio(tmp_path / "a.wav", stereo, 44100, subtype="pcm_24")
    audio = read_audio(tmp_path / "a.wav")
    assert audio.subtype == "PCM_24"
    np.testing.assert_allclose(audio.samples, stereo, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_loud_samples_are_clipped_not_wrapped(tmp_path, subtype):
    loud = np.array([1.0, -1.0, 1.5, -7.0])
    write_audio(tmp_path / "a.wav", loud, RATE, subtype=subtype)
    stored = loud if subtype == "FLOAT" else [1, -1, 1, -1]
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples[0], stored, atol=1e-4)


def test_blocks_join(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_BLOCK", 1000)
    monkeypatch.setattr(encoding, "_BLOCK", 1000)
    write_audio(tmp_path / "a.flac", tone(), RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "a.flac").samples[0], tone(), atol=1e-4)


@pytest.mark.parametrize("extension, subtype", [("ogg", "VORBIS"), ("opus", "OPUS"), ("wav", "FLOAT"), ("mp3", None)])
def test_the_same_sound_is_the_same_bytes(tmp_path, extension, subtype):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 96000)).astype(np.float32)
    tags = {"title": "a noise", "comment": "x" * 9000}
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.{extension}", noise, 48000, subtype=subtype, metadata=tags)
    data = (tmp_path / f"a.{extension}").read_bytes()
    assert data == (tmp_path / f"b.{extension}").read_bytes()
    if extension == "wav":
        peak = data.index(b"PEAK")
        assert data[peak + 12 : peak + 16] == bytes(4) and data.index(b"data") > peak
        np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples, noise)
    if extension in ("ogg", "opus"):  # whose pages with wrong checksums a reader would leave out
        plain = [io.BytesIO(), io.BytesIO()]
        for buffer in plain:
            soundfile.write(buffer, noise.T, 48000, format="OGG", subtype=subtype)
        assert plain[0].getvalue() != plain[1].getvalue()
        assert data.count(b"OggS") > 5
        # The encoder's guess at what came before the sound may differ, in its first block.
        np.testing.assert_array_equal(
            read_audio(tmp_path / f"a.{extension}").samples[:, 256:], decoded(plain[0])[256:].T
        )


def decoded(buffer: io.BytesIO) -> np.ndarray:
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32", always_2d=True)[0]


def test_read_mono_averages_and_resamples(tmp_path):
    stereo = np.stack([tone(44100, 1000, 44100), np.zeros(44100)])
    write_audio(tmp_path / "a.wav", stereo, 44100)
    mono = read_mono(tmp_path / "a.wav", RATE)
    assert mono.shape == (RATE,) and mono.dtype == np.float32
    np.testing.assert_allclose(mono[1000:-1000], tone(RATE, 1000)[1000:-1000] / 2, atol=2e-3)


def test_resample_and_to_mono():
    assert resample(np.zeros((2, 100)), 100, 250).shape == (2, 250)
    np.testing.assert_array_equal(resample(tone(), RATE, RATE), tone())
    assert resample(np.zeros(0), 1, 2).shape == (0,)
    above_half_the_rate = resample(tone(RATE, 9000), RATE, 8000)
    assert np.abs(above_half_the_rate[500:-500]).max() < 1e-3
    np.testing.assert_array_equal(to_mono(np.array([[1, 0], [3, 1]])), [2, 0.5])
    np.testing.assert_array_equal(to_mono(np.array([1, 3])), [1, 3])


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a sound " * 50)
    (tmp_path / "text.raw").write_text("not a sound " * 50)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "inf.wav", np.array([0.0, np.inf]), RATE, subtype="FLOAT")
    for name, words in {
        "missing.wav": "no such file",
        "": "is a directory",
        "empty.wav": "is empty",
        "text.wav": "not a sound file",
        "text.raw": "not a sound file",
        "none.wav": "no samples",
        "nan.wav": "not a number",
        "inf.wav": "infinite",
        "text.wav/x.wav": "cannot be read",
    }.items():
        with pytest.raises(SmgError, match=words) as caught:
            read_audio(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_header_that_promises_too_much_is_refused(tmp_path):
    write_audio(tmp_path / "a.flac", tone(), RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F  # STREAMINFO's count of samples: 2**36 - 1, more than any memory holds
    data[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(SmgError, match="damaged"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("a.xyz", {}, "unknown extension 'xyz'.*wav, flac, ogg, opus, mp3"),
        ("a", {}, "unknown extension"),
        ("a.wav", {"format": "aac"}, "unknown format 'aac'"),
        ("a.flac", {"subtype": "FLOAT"}, "FLAC cannot store FLOAT; use one of .*PCM_16"),
        ("a.wav", {"subtype": "banana"}, "WAV cannot store BANANA"),
        ("a.wav", {"metadata": {"mood": "x"}}, "unknown metadata 'mood'"),
        ("no/a.wav", {}, "does not exist"),
        ("file/a.wav", {}, "is not a directory"),
        ("folder.wav", {}, "is a directory"),
    ],
)
def test_refusals_leave_nothing(tmp_path, name, options, words):
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(SmgError, match=words):
        write_audio(tmp_path / name, tone(), RATE, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.wav"]


@pytest.mark.parametrize("samples, words", [([0.0, np.nan], "not a number"), ([], "is empty")])
def test_sounds_that_are_none(tmp_path, samples, words):
    with pytest.raises(SmgError, match=words):
        write_audio(tmp_path / "a.wav", np.array(samples), RATE)
    assert not list(tmp_path.iterdir())


def test_check_output_refuses_early(tmp_path, monkeypatch):
    check_output(tmp_path / "a.wav")
    check_output(tmp_path / "a.bin", format="flac")
    check_output("-")
    for bad in (tmp_path / "a.xyz", tmp_path / "no" / "a.wav", tmp_path):
        with pytest.raises(SmgError):
            check_output(bad)
    with pytest.raises(SmgError, match="not a regular file"):
        check_writable("/dev/null")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(SmgError, match="terminal"):
        check_output("-")


def test_permissions_are_heeded(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.touch()
    monkeypatch.setattr(os, "access", lambda place, mode: os.fspath(place) != os.fspath(path))
    with pytest.raises(SmgError, match="write-protected"):
        check_writable(path)
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(SmgError, match="no permission"):
        check_writable(path)


def test_replaces_whole_files_through_links(tmp_path):
    target, link = tmp_path / "a.wav", tmp_path / "link.wav"
    target.write_text("old")
    link.symlink_to(target)
    write_audio(link, tone(), RATE)
    assert link.is_symlink() and read_audio(target).samples.shape == (1, len(tone()))
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "link.wav"]


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError()]
)
def test_failure_keeps_the_old_file(tmp_path, failure):
    path = tmp_path / "a.json"
    path.write_text("old")
    expected = SmgError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("part", [0.1, 0.7, 0.999])
def test_full_disk_is_noticed(tmp_path, extension, part):
    noise = np.random.default_rng(0).uniform(-1, 1, RATE // 2)
    path = tmp_path / f"a.{extension}"
    write_audio(path, noise, RATE)
    size = path.stat().st_size
    path.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(part * size), hard))
    try:
        with pytest.raises(SmgError, match="cannot write .*File too large"):
            write_audio(path, noise, RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_codec_that_cannot(tmp_path):
    with pytest.raises(SmgError, match="cannot encode as MP3 .* with 3 channels"):
        write_audio(tmp_path / "a.mp3", np.zeros((3, 100)), RATE)
    assert not list(tmp_path.iterdir())


def test_standard_output_gets_a_complete_wav(monkeypatch):
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe, isatty=lambda: False))
    write_audio("-", tone(), RATE)
    data = pipe.getvalue()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    samples, rate = soundfile.read(io.BytesIO(data))
    assert rate == RATE
    np.testing.assert_allclose(samples, tone(), atol=1e-4)


CLOSED_PIPE = """
import numpy
from specmaskgit_cli.audio.files import write_audio
from specmaskgit_cli.errors import SmgError
try:
    write_audio("-", numpy.zeros(10**6), 22050)
except SmgError as error:
    raise SystemExit(str(error))
"""


@pytest.mark.parametrize("options", [[], ["-u"]])
def test_closed_standard_output_is_one_line(options):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, *options, "-c", CLOSED_PIPE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment) as process:
        process.stdout.read(4)
        process.stdout.close()
        message = process.stderr.read().decode()
    assert message == "standard output was closed before the whole sound was written\n"
    assert process.returncode == 1
