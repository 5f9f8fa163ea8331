"""No small file and no option takes all memory: rates, channels and lengths are bounded, whoever reads or asks."""

from __future__ import annotations

import ast
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from specmaskgit_cli import bounds
from specmaskgit_cli.audio.files import read_audio, read_mono
from specmaskgit_cli.audio.loudness import integrated_loudness, true_peak_db
from specmaskgit_cli.audio.samples import decode
from specmaskgit_cli.cli import run
from specmaskgit_cli.cli.info import _measure
from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.data.clips import _CacheWriter
from specmaskgit_cli.data.labels import LabelledClip, read_wave
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.evaluation.clips import read_clips
from specmaskgit_cli.options import ContinueOptions, GenerateOptions, OutputOptions, VaryOptions
from specmaskgit_cli.pipeline import Pipeline
from specmaskgit_cli.sounds.finish import finish
from specmaskgit_cli.tasks import check_made
from specmaskgit_cli.tasks.source import Source

ROOT = Path(__file__).parents[2]
# Rate in Hz, channels, and the words that refuse it.
REFUSED = [
    (1, 1, "1 Hz"), (999, 1, "999 Hz"), (768_001, 1, "768001 Hz"), (10_000_000, 2, "10000000 Hz"),
    (22050, 33, "33 channels"), (8000, 1024, "1024 channels"),
]  # fmt: skip
ALLOWED = [(1000, 1), (768_000, 1), (8000, 32)]


def noise(samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (samples, channels)).astype(np.float32)


def write(path, rate: int, channels: int, samples: int = 2000) -> bytes:
    soundfile.write(path, noise(samples, channels), rate)
    return Path(path).read_bytes()


@pytest.mark.parametrize(("rate", "channels", "words"), REFUSED)
def test_rates_and_channels_out_of_bounds(tmp_path, monkeypatch, capsys, rate, channels, words):
    monkeypatch.chdir(tmp_path)
    data = write("a.wav", rate, channels)
    for read in (lambda: read_audio("a.wav"), lambda: read_mono("a.wav", 22050), lambda: decode(data, 22050, "a.wav")):
        with pytest.raises(SmgError, match=f"a.wav has .*{words}"):
            read()
    for command in (["info"], ["show"], ["vary", "-o", "out.wav"], ["embed", "-o", "out.npz"]):
        assert run([command[0], "a.wav", *command[1:]]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("smg: error: a.wav has ") and words in line
    # Of many clips, one that cannot be read is left out.
    assert read_clips([tmp_path], ["a"], 1.0, MelConfig()) == {}
    with pytest.raises(SmgError, match=f"a.wav: has .*{words}.*leave it out"):
        read_wave(LabelledClip("clip", Path("a.wav"), ("x",), None), 22050)
    (tmp_path / "cache").mkdir()
    writer = _CacheWriter(tmp_path / "cache", MelConfig(), False)
    about = {"caption": "a dog", "label": "dog"}
    write("b.wav", 22050, 1)
    assert words in writer.add("a", Path("a.wav"), about) and writer.add("b", Path("b.wav"), about) is None
    writer.close([])


@pytest.mark.parametrize(("rate", "channels"), ALLOWED)
def test_those_at_the_bounds_are_read(tmp_path, rate, channels):
    data = write(tmp_path / "a.wav", rate, channels)
    assert read_audio(tmp_path / "a.wav").samples.shape == (channels, 2000)
    assert decode(data, 22050)[1] == rate
    assert run(["info", str(tmp_path / "a.wav")]) == 0


@pytest.mark.parametrize(("rate", "channels", "resampled", "longest"), [
    (48000, 1, 8000, 12000), (48000, 2, 8000, 6000), (8000, 1, 24000, 4000), (1000, 1, 8000, 1500),
])  # fmt: skip
def test_samples_are_counted_as_they_are_decoded(tmp_path, rate, channels, resampled, longest):
    path = tmp_path / "a.flac"
    write(path, rate, channels, longest)
    assert read_audio(path, 12000, resampled).samples.shape[1] == longest
    write(path, rate, channels, longest + 1)
    with pytest.raises(SmgError, match="a.flac is longer than .* s, the most"):
        read_audio(path, 12000, resampled)


def test_the_whole_is_as_the_file_has_it(tmp_path):
    write(tmp_path / "a.wav", 44100, 3, 1_000_000)  # several growths
    found = read_audio(tmp_path / "a.wav").samples
    assert found.base.flags.c_contiguous and found.base.flags.owndata  # and nothing else holds memory
    np.testing.assert_array_equal(found, soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T)


def peak_memory(work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_silence_that_decodes_to_much_is_not_decoded_to_its_end(tmp_path):
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 48000, 2) as file:
        for _ in range(120):
            file.write(np.zeros((48000 * 5, 2), np.float32))  # ten minutes, 230 MB
    assert path.stat().st_size < 200_000

    def read():
        with pytest.raises(SmgError, match="longer than 10 s"):
            read_audio(path, 960_000)

    assert peak_memory(read) < 10e6


def test_info_takes_little_more_than_the_sound(tmp_path):
    samples = 3_000_000
    write(tmp_path / "a.flac", 48000, 4, samples)
    _measure(str(tmp_path / "a.flac"))  # what is imported is no matter
    assert peak_memory(lambda: _measure(str(tmp_path / "a.flac"))) < 1.8 * samples * 4 * 4


@pytest.mark.parametrize("rate", [192_000, 384_000, 524_292, 768_000])
def test_loudness_at_high_rates(rate):
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * rate) / rate).astype(np.float32)
    assert integrated_loudness(sine, rate) == pytest.approx(-3.01, abs=0.06)
    assert integrated_loudness(sine[: rate // 5], rate) == pytest.approx(-6.0, abs=0.3)
    assert true_peak_db(sine, rate) == pytest.approx(0, abs=0.01)


def test_results_are_bounded():
    bounds.check_result(bounds.MAX_SAMPLES / 48000 / 2, 48000, 2)
    with pytest.raises(UsageError, match="3 sounds of 3600 s at 48000 Hz in 2 channels .* 537 million .*fewer"):
        bounds.check_result(3600, 48000, 2, 3)
    OutputOptions(rate=192_000, channels=2).check(GenerateOptions("x", seconds=1300))
    with pytest.raises(UsageError, match="a sound of 1400 s at 192000 Hz in 2 channels"):
        OutputOptions(rate=192_000, channels=2).check(GenerateOptions("x", seconds=1400))
    with pytest.raises(UsageError, match="at 192000 Hz in 2 channels"):
        finish(np.broadcast_to(np.float32(0), (1, 10**8)), 22050, OutputOptions(rate=192_000, channels=2))
    check_made(VaryOptions("x", num=4), 22050, 600, 48000, 2)
    for options, rate, channels in (
        (VaryOptions("x", num=10), 48000, 2), (VaryOptions("x"), 1000, 50), (ContinueOptions("x", 3600), 48000, 4),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="million samples"):
            check_made(options, 22050, 600, rate, channels)


def test_too_much_is_refused_before_the_work(tmp_path, monkeypatch, capsys, trained):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    monkeypatch.setattr("specmaskgit_cli.synthesis.engine.Engine.fill", None)
    monkeypatch.setattr("specmaskgit_cli.synthesis.engine.Engine.generate", None)
    write("in.wav", 768_000, 32, 46_080)
    for arguments, words in (
        (["generate", "rain", "-n", "1000", "-s", "3600"], "1000 sounds of 3600 s at 22050 Hz in 1 channel "),
        (["generate", "rain", "-s", "3600", "--rate", "192000"], "a sound of 3600 s at 192000 Hz"),
        (["continue", "in.wav", "-s", "60"], "a sound of 60.06 s at 768000 Hz in 32 channels"),
    ):
        assert run([*arguments, "-o", "out.wav", "--threads", "1"]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line and "bug" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]
    with pytest.raises(UsageError, match="million samples"):
        sound = Source(noise(50_000, 32).T, 768_000)
        Pipeline.make(_Pipe(), ContinueOptions("x", 60), source=sound)


class _Pipe:
    """As much of a pipeline as it takes to refuse."""

    class config:
        mel = MelConfig()


def test_sounds_are_read_in_one_place():
    """By soundfile, that is: elsewhere nothing would be counted."""
    homes = {"samples.py", "files.py", "metadata.py", "encoding.py", "blocks.py"}  # the last three read no samples
    for path in (ROOT / "specmaskgit_cli").rglob("*.py"):
        names = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        reads = {name for name in names if name.startswith("soundfile.") and not name.endswith((".write", "_format"))}
        assert not reads or (path.parent.name == "audio" and path.name in homes), (path, reads)
