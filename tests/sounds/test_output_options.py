"""How sounds are finished: loudness, peaks, trimming, rates, channels and bits, and nothing clipped in silence."""

import numpy as np
import pyloudnorm
import pytest
import soundfile

from specmaskgit_cli.audio.files import check_output, read_audio, same_samples
from specmaskgit_cli.audio.levels import trim_silence
from specmaskgit_cli.audio.loudness import integrated_loudness, to_loudness, true_peak_db
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import ContinueOptions, GenerateOptions, LoopOptions, OutputOptions, VaryOptions
from specmaskgit_cli.sounds.finish import finish

RATE = 22050
FEW = ["--steps", "2", "--threads", "1"]


def sine(hertz: float, seconds: float, rate: int = RATE, level: float = 1.0, phase: float = 0.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * t + phase)).astype(np.float32)


def decibels(x) -> float:
    return 20 * np.log10(np.abs(x).max())


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    """An empty directory with a sound, whose model is the tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    soundfile.write("in.wav", np.random.default_rng(0).standard_normal((8000, 2)) * 0.1, 8000)
    return tmp_path


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_a_full_scale_sine_has_the_loudness_of_the_standard(rate):
    assert integrated_loudness(sine(997, 3, rate), rate) == pytest.approx(-3.01, abs=0.06)
    both = np.stack([sine(997, 3, rate)] * 2)
    assert integrated_loudness(both, rate) == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize("rate", [22050, 48000])
@pytest.mark.parametrize("kind", ["noise", "bursts", "rumble", "stereo", "quiet"])
def test_loudness_agrees_with_another_meter(rate, kind):
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal((round(6.3 * rate), 2 if kind == "stereo" else 1))
    if kind == "bursts":
        x[rate : 4 * rate] *= 0.003  # below the gates
    elif kind == "rumble":
        x = np.cumsum(x, axis=0) / 40
    elif kind == "quiet":
        x *= 0.01
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    assert integrated_loudness(x.T, rate) == pytest.approx(meter.integrated_loudness(x), abs=0.05)


def test_loudness_of_what_is_long_short_or_silent():
    x = sine(997, 20, 48000)
    x[:5] = 0
    assert integrated_loudness(x, 48000) == pytest.approx(-3.01, abs=0.02)  # over the joins of several FFTs
    assert integrated_loudness(sine(997, 0.2), RATE) == pytest.approx(-6.0, abs=0.3)  # half of the 0.4 s of a block
    assert integrated_loudness(sine(400, 1, 2000), 2000) == pytest.approx(-3.8, abs=0.5)
    for silent in (np.zeros(RATE), np.zeros((2, 100))):
        assert integrated_loudness(silent, RATE) == -np.inf and true_peak_db(silent, RATE) == -np.inf


def test_true_peaks_lie_between_samples():
    between = sine(RATE / 4, 0.5, phase=np.pi / 4) * np.hanning(RATE // 2).astype(np.float32)
    assert decibels(between) == pytest.approx(-3, abs=0.05) and true_peak_db(between, RATE) == pytest.approx(0, abs=0.1)
    x = 0.1 * sine(100, 60, 44100)
    x[30 * 44100] = 0.9
    assert true_peak_db(x, 44100) == pytest.approx(true_peak_db(x[29 * 44100 : 31 * 44100], 44100), abs=1e-3)


def test_loudness_is_reached_by_a_limiter_where_gain_raises_peaks():
    x = 0.01 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    y, reached = to_loudness(x, RATE, -23)
    assert reached == pytest.approx(-23) and integrated_loudness(y, RATE) == pytest.approx(-23, abs=0.01)
    x[5000] = 0.5
    y, reached = to_loudness(x, RATE, -16)
    assert reached == pytest.approx(-16, abs=0.06) and true_peak_db(y, RATE) == pytest.approx(-1, abs=0.01)
    assert integrated_loudness(y, RATE) == pytest.approx(reached, abs=0.01)
    far = np.r_[0:4000, 6000 : 2 * RATE]  # there, it is louder and nothing else
    np.testing.assert_allclose(y[..., far], x[far] * (y[..., 100] / x[100]), rtol=1e-4, atol=1e-6)
    assert not finish(x[None], RATE, OutputOptions(lufs=-16), gain=1.0)[2]


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("lufs", [-23, -18])
def test_one_shots_have_the_loudness_asked_for(seconds, lufs):
    decay = np.exp(-np.arange(round(seconds * RATE)) / (0.03 * RATE))
    shot = np.random.default_rng(1).standard_normal((2, len(decay))) * decay
    made, _, warnings = finish(shot.astype(np.float32), RATE, OutputOptions(lufs=lufs), gain=1.0)
    assert integrated_loudness(made, RATE) == pytest.approx(lufs, abs=0.1) and not warnings
    assert true_peak_db(made, RATE) < -0.99


def test_a_loop_is_limited_around_its_join():
    x = 0.02 * sine(100, 1, phase=1)
    x[:5] = 0.6
    for loop in (True, False):
        gain = to_loudness(x, RATE, -16, loop)[0] / x
        assert (gain[-1] < 1.5 * gain[0]) == loop and gain[RATE // 2] > 1.5 * gain[0]


def test_what_no_limiter_reaches_is_said():
    x = np.zeros(2 * RATE, np.float32)
    x[5000] = 0.5
    _, reached = to_loudness(x, RATE, -16)
    assert reached < -20
    _, rate, warnings = finish(x[None], RATE, OutputOptions(lufs=-16), gain=1.0)
    assert len(warnings) == 1 and f"{reached:.1f} LUFS instead of -16" in warnings[0] and rate == RATE
    silent, _, warnings = finish(np.zeros((1, RATE), np.float32), RATE, OutputOptions(lufs=-16), gain=1.0)
    assert not silent.any() and "silent" in warnings[0]


@pytest.mark.parametrize("channels", [None, 2])
def test_trimming_leaves_the_sound_and_short_fades(channels):
    x = np.concatenate([np.zeros(RATE), sine(500, 0.3), np.zeros(RATE)]).astype(np.float32)
    x += 1e-4 * np.random.default_rng(0).standard_normal(len(x)).astype(np.float32)
    x = x if channels is None else np.stack([0 * x, x])
    y = trim_silence(x, RATE)
    assert y.shape[-1] / RATE == pytest.approx(0.325, abs=0.002) and y.ndim == x.ndim
    assert np.abs(y[..., [0, -1]]).max() < 1e-5
    first = RATE + 1 - round(0.005 * RATE)  # the sine begins with a zero
    inside = round(0.01 * RATE)
    np.testing.assert_array_equal(y[..., inside : inside + 6000], x[..., first + inside :][..., :6000])
    silent = np.zeros(100, np.float32)
    np.testing.assert_array_equal(trim_silence(silent, RATE), silent)


def test_without_options_nothing_changes():
    for x in (sine(100, 1)[None], np.stack([sine(100, 1)] * 2)):
        for gain in (None, 2.0):
            y, rate, warnings = finish(x, RATE, OutputOptions(), gain=gain)
            assert y is x and rate == RATE and not warnings


def test_levels_after_other_changes():
    x = sine(5000, 0.7, level=10 ** (-1 / 20))[None]
    x[:, ::2] *= 0.3  # peaks between samples
    made, rate, _ = finish(x, RATE, OutputOptions(rate=48000), gain=1.0)
    assert rate == 48000 and made.shape == (1, 33600) and decibels(made) == pytest.approx(-1, abs=0.001)
    raw, _, warnings = finish(x, RATE, OutputOptions(normalize=False), gain=4.0)
    np.testing.assert_allclose(raw, x / 4)
    assert not warnings
    raw, _, warnings = finish(x, RATE, OutputOptions(normalize=False), gain=0.25)
    assert np.abs(raw).max() == pytest.approx(1) and "lowered" in warnings[0]
    raw, _, warnings = finish(x, RATE, OutputOptions(normalize=False), gain=0.25, unlimited=True)
    np.testing.assert_allclose(raw, 4 * x)
    assert not warnings


def test_an_edit_keeps_its_level():
    x = np.stack([sine(50, 0.5, level=0.2)] * 2)
    made, _, _ = finish(x, RATE, OutputOptions(rate=44100, channels=1))
    assert made.shape == (1, RATE) and decibels(made) == pytest.approx(decibels(x), abs=0.01)
    square = np.sign(sine(300, 0.5))[None]
    made, _, warnings = finish(square, RATE, OutputOptions(rate=48000))
    assert np.abs(made).max() <= 1 + 1e-6 and "lowered" in warnings[0]
    same, _, warnings = finish(3 * square, RATE, OutputOptions())
    np.testing.assert_array_equal(same, 3 * square)
    assert "clipped" in warnings[0]


def test_channels():
    three = np.stack([sine(100, 0.1), 0 * sine(100, 0.1), sine(100, 0.1)])
    for given, wanted in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2)):
        assert finish(three[:given], RATE, OutputOptions(channels=wanted))[0].shape == (wanted, 2205)
    np.testing.assert_allclose(finish(three[:2], RATE, OutputOptions(channels=1))[0], three[:1] / 2)


def test_a_resampled_loop_still_closes():
    x = sine(100, 1, level=0.5)[None]
    ideal = sine(100, 1, 48000, 0.5)[None]
    closed = finish(x, RATE, OutputOptions(rate=48000), loop=True)[0]
    np.testing.assert_allclose(closed, ideal, atol=1e-3)
    cosine = sine(100, 1, level=0.5, phase=np.pi / 2)[None]
    ideal = sine(100, 1, 48000, 0.5, np.pi / 2)[None]
    assert np.abs(finish(cosine, RATE, OutputOptions(rate=48000), loop=True)[0] - ideal).max() < 1e-3
    assert np.abs(finish(cosine, RATE, OutputOptions(rate=48000))[0] - ideal).max() > 0.01


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lufs": 3}, "lufs is 3"),
        ({"lufs": float("nan")}, "lufs is"),
        ({"lufs": -16.0, "normalize": False}, "no-normalize"),
        ({"bits": "8"}, "bits is '8'; use 16, 24, 32f"),
        ({"bits": 16}, "bits is 16"),
        ({"rate": 44100.0}, "rate is"),
        ({"rate": 100}, "rate is 100"),
        ({"channels": 3}, "channels is 3"),
        ({"trim": 1}, "trim is 1"),
    ],
)
def test_options_out_of_range(values, words):
    with pytest.raises(SmgError, match=words):
        OutputOptions(**values)


def test_a_loop_is_not_trimmed():
    for options in (LoopOptions("in.wav"), GenerateOptions("rain", loop=True)):
        with pytest.raises(SmgError, match="no longer closes"):
            OutputOptions(trim=True).check(options)
    for options in (VaryOptions("in.wav"), ContinueOptions("in.wav"), GenerateOptions("rain")):
        OutputOptions(trim=True).check(options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.flac", {"bits": "32f"}, "flac has no such samples; use 16, 24"),
        ("a.ogg", {"bits": "16"}, "ogg has no such samples; leave bits out"),
        ("a.mp3", {"bits": "24"}, "leave bits out"),
        ("a.opus", {"rate": 44100}, "opus cannot store; use 8000, .*48000"),
        ("a.mp3", {"rate": 96000}, "mp3 cannot store"),
    ],
)
def test_what_a_format_cannot_store_is_refused(tmp_path, name, options, words):
    with pytest.raises(SmgError, match=words):
        check_output(tmp_path / name, **options)
    command = [f"--{key}={value}" for key, value in options.items()]
    assert run(["generate", "rain", "-o", str(tmp_path / name), *command]) == 2
    assert not list(tmp_path.iterdir())


def test_a_generated_sound_as_asked(folder, capsys):
    common = ["generate", "rain", "-s", "0.7", "--seed", "1", *FEW, "-q"]
    for name, more in {
        "plain.wav": [],
        "all.wav": ["--bits", "24", "--rate", "48000", "--channels", "2"],
        "float.wav": ["--bits", "32f", "--no-normalize"],
        "loud.flac": ["--lufs", "-30", "--bits", "24"],
        "loop.wav": ["--loop", "--rate", "44100"],
    }.items():
        assert run([*common, "-o", name, *more]) == 0
    assert soundfile.info("plain.wav").frames == 15435
    plain, kept = read_audio("plain.wav").samples, read_audio("float.wav").samples
    assert decibels(plain) == pytest.approx(-1, abs=0.01)
    gain = np.abs(kept).max() / np.abs(plain).max()
    np.testing.assert_allclose(kept, gain * plain, atol=gain * 1e-4)
    info = soundfile.info("all.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (33600, 48000, 2, "PCM_24")
    loud = read_audio("loud.flac")
    assert loud.subtype == "PCM_24" and integrated_loudness(loud.samples, loud.rate) == pytest.approx(-30, abs=0.1)
    assert soundfile.info("loop.wav").frames == 30870
    assert run([*common, "-o", "x.wav", "--loop", "--trim"]) == 2
    assert "no longer closes" in capsys.readouterr().err


def test_an_edit_as_asked(folder):
    loud = 3 * np.random.default_rng(0).standard_normal((8000, 2)).astype(np.float32)
    soundfile.write("loud.wav", loud, 8000, subtype="FLOAT")
    inpaint = ["inpaint", "loud.wav", "--start", "0.5", "--end", "0.6", "--seed", "1", *FEW, "-q"]
    assert run([*inpaint, "-o", "same.wav"]) == 0
    np.testing.assert_array_equal(
        read_audio("same.wav").samples[:, :4000], loud[:4000].T
    )  # beyond full scale, as it was
    assert run([*inpaint, "-o", "low.wav", "--lufs", "-30", "--channels", "1", "--bits", "24"]) == 0
    low = read_audio("low.wav")
    assert low.samples.shape == (1, 8000) and low.subtype == "PCM_24"
    assert integrated_loudness(low.samples, 8000) == pytest.approx(-30, abs=0.1)


def test_clipping_is_said(folder, capsys):
    soundfile.write("loud.wav", np.full(8000, 1.5) * np.sign(sine(100, 1, 8000)), 8000, subtype="FLOAT")
    inpaint = ["inpaint", "loud.wav", "--start", "0.5", "--end", "0.6", *FEW]
    assert run([*inpaint, "-o", "out.flac"]) == 0
    assert "over full scale, and is clipped" in capsys.readouterr().err
    assert run([*inpaint, "-o", "out.wav"]) == 0
    assert "full scale" not in capsys.readouterr().err


def test_same_samples(tmp_path):
    x = sine(100, 0.5, level=0.5)
    y = x.copy()
    y[7] += 0.01
    files = {"a.wav": (x, 8000), "b.wav": (x, 8000), "c.wav": (x, 9000), "d.wav": (y, 8000), "e.flac": (x, 8000)}
    for name, (samples, rate) in files.items():
        soundfile.write(tmp_path / name, samples, rate)
    results = [same_samples(tmp_path / "a.wav", tmp_path / name) for name in files]
    assert results == [True, True, False, False, None] and same_samples("-", tmp_path / "a.wav") is None
