"""The edits on a tiny model: what must hold whatever the model has learnt."""

import numpy as np
import pytest
import soundfile

from specmaskgit_cli import load
from specmaskgit_cli.audio.filters import band
from specmaskgit_cli.conditioning.condition import Condition
from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.decoding.settings import DecodeSettings
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.evaluation.baselines import log_power
from specmaskgit_cli.evaluation.edits import lsd, power_distance, seam_ratio
from specmaskgit_cli.options import Box, ContinueOptions, ExtendOptions, InpaintOptions, LoopOptions, VaryOptions
from specmaskgit_cli.spectrogram.griffin_lim import Known, griffin_lim
from specmaskgit_cli.spectrogram.mel import log_mel
from specmaskgit_cli.synthesis.engine import Draw
from specmaskgit_cli.tasks.cutoff import find_cutoff
from specmaskgit_cli.tasks.regenerate import correction, fresh_cells, guess, regenerate_mel, settle
from specmaskgit_cli.tasks.source import Source, excerpt

CFG = MelConfig()
FAST = {"steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), threads=1)


def noise(seconds, rate=22050, channels=1, seed=0):
    samples = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels)).T * 0.1
    return np.round(samples * 32768).astype(np.float32) / 32768


def low_passed(samples, rate, cutoff, order):
    """The magnitude response of a Butterworth filter, without its phase."""
    spectrum, hz = np.fft.rfft(samples), np.fft.rfftfreq(samples.shape[1], 1 / rate)
    response = 1 / np.sqrt(1 + (hz / cutoff) ** (2 * order))
    return np.fft.irfft(spectrum * response, samples.shape[1]).astype(np.float32)


def draw(pipe) -> Draw:
    condition = Condition(pipe.engine.prompts.text("rain"))
    return Draw(condition, None, DecodeSettings(steps=2), np.random.default_rng(1))


def changed(a, b):
    """First and last sample (exclusive) that differ."""
    where = np.flatnonzero((a != b).any(axis=0))
    return where[0], where[-1] + 1


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "extension"),
    [
        (22050, 1, "PCM_16", "wav"),
        (44100, 2, "PCM_24", "flac"),
        (8000, 1, "PCM_16", "wav"),
        (192000, 8, "FLOAT", "wav"),
    ],
)
def test_inpainting_keeps_every_sample_outside_the_box(pipe, tmp_path, rate, channels, subtype, extension):
    source, out = tmp_path / f"in.{extension}", tmp_path / f"out.{extension}"
    soundfile.write(source, noise(1.5, rate, channels).T, rate, subtype=subtype)
    pipe.inpaint(source, Box(0.5, 0.9), **FAST).save(out)
    info = soundfile.info(out)
    assert (info.samplerate, info.channels, info.subtype) == (rate, channels, subtype)
    before, after = (soundfile.read(path, dtype="float64", always_2d=True)[0] for path in (source, out))
    assert before.shape == after.shape
    first, last = changed(before.T, after.T)
    assert 0.5 * rate <= first < 0.51 * rate and 0.89 * rate < last <= 0.9 * rate


def test_new_cells_have_the_level_that_is_trusted_and_their_own_texture(pipe):
    def level(mel):
        return mel[8:, 32:96].reshape(9, 8, 2, 32).mean(axis=(1, 3))

    mel = log_mel(noise(8 * 4096 / 22050)[0], CFG)
    fresh = np.zeros(mel.shape, bool)
    fresh[:, 16:112] = True
    around = guess(mel, fresh, CFG)
    own, half, none = (regenerate_mel(pipe.engine, draw(pipe), mel, fresh, trust) for trust in (1.0, 0.5, 0.0))
    assert np.array_equal(half, regenerate_mel(pipe.engine, draw(pipe), mel, fresh, np.full(mel.shape, 0.5)))
    far, near, nearest = (np.abs(level(x) - level(around)).mean() for x in (own, half, none))
    assert nearest < 0.7 * near < 0.6 * far
    rough = [np.diff(x, axis=1)[:, 32:96].std() for x in (own, half, none, around)]
    assert rough[3] < 0.5 * rough[0] and rough[1:3] == pytest.approx([rough[0]] * 2, rel=0.1)


def test_new_sound_has_as_much_above_the_models_band_as_the_rest(pipe):
    def share(x):
        return band(x, 44100, 8500, 10500).std() / band(x, 44100, 5000, 7500).std()

    bright = noise(1.5, 44100, 2)
    for samples in (bright, low_passed(bright, 44100, 8000, 200)):
        (sound,) = pipe.make(InpaintOptions("x", boxes=(Box(0.5, 1),), **FAST), source=Source(samples, 44100))
        (longer,) = pipe.make(ContinueOptions("x", 1, **FAST), source=Source(samples, 44100))
        for new in (sound.samples[:, 24255:41895], longer.samples[:, samples.shape[1] + 2205 : -2205]):
            assert share(samples) / 4 < share(new) + 0.01 < 4 * share(samples) + 0.05


def test_a_sound_that_is_cut_off_does_not_click_in_its_bands():
    tone = np.cos(2 * np.pi * 300 * np.arange(8000) / 22050)[None].astype(np.float32)
    assert np.abs(band(tone, 22050, 4000, None)).max() < 0.08  # 0.5 where the cut is taken as it is


def test_several_boxes_near_and_far(pipe):
    samples = noise(24)
    options = InpaintOptions("x", boxes=(Box(1, 1.2), Box(1.4, 1.5), Box(20, 20.3)), **FAST)
    (sound,) = pipe.make(options, source=Source(samples, 22050))
    differs = (sound.samples != samples).any(axis=0).reshape(-1, 2205).any(axis=1)  # by tenths of a second
    assert list(np.flatnonzero(differs)) == [10, 11, 14, 200, 201, 202]


def test_a_band_leaves_the_other_frequencies(pipe):
    samples = noise(1.5)
    (sound,) = pipe.make(InpaintOptions("x", boxes=(Box(0.5, 1, 2000, 4000),), **FAST), source=Source(samples, 22050))
    change = sound.samples - samples
    inside = band(change, 22050, 1500, 4500)
    assert np.abs(change).max() > 0.01
    assert np.square(change - inside).sum() < 0.02 * np.square(change).sum()
    assert changed(sound.samples, samples)[0] >= 11025


def test_gaps_longer_than_the_window(pipe):
    samples = noise(16)
    (sound,) = pipe.make(InpaintOptions("x", boxes=(Box(1, 15),), **FAST), source=Source(samples, 22050))
    blocks = np.sqrt(np.square(sound.samples[0, 22050:-22050]).reshape(-1, 2205).mean(axis=1))
    assert blocks.min() > 1e-4 and changed(sound.samples, samples) == pytest.approx((22050, 15 * 22050), abs=99)


def test_channels_keep_their_balance(pipe):
    mono = noise(1.5, 44100)
    samples = np.concatenate([mono, -0.25 * mono, 0 * mono])
    (sound,) = pipe.make(InpaintOptions("x", boxes=(Box(0.5, 1),), **FAST), source=Source(samples, 44100))
    left, right, silent = sound.samples[:, 26460:39690]
    assert np.allclose(right, -0.25 * left, atol=1e-5) and np.abs(left).max() > 0.01 and not silent.any()


def test_continuing_keeps_the_sound_and_has_no_step(pipe):
    samples = noise(2, 44100, 2)
    for before, seconds in ((False, 1.3), (True, 10.4)):
        options = ContinueOptions("x", seconds, before, **FAST)
        (sound,) = pipe.make(options, source=Source(samples, 44100))
        old, new = samples.shape[1], round(seconds * 44100)
        assert sound.samples.shape == (2, old + new)
        assert np.array_equal(sound.samples[:, -old:] if before else sound.samples[:, :old], samples)
        at = new if before else old
        jump = np.abs(np.diff(sound.samples))
        assert jump[:, at - 1].max() <= jump[:, at - 2000 : at + 2000].max()
        assert np.abs(sound.samples[:, 0 if before else -1]).max() < 1e-3  # fades out at the far end


def test_loops_have_no_seam(pipe):
    t = np.arange(3 * 22050) / 22050
    ramp = (np.sin(2 * np.pi * 110.25 * t) * np.linspace(0.1, 0.7, len(t)))[None].astype(np.float32)
    (sound,) = pipe.make(LoopOptions("x", join=0.5, **FAST), source=Source(ramp, 22050))
    assert sound.samples.shape == ramp.shape
    middle = slice(round(0.1 * 22050), round(2.4 * 22050))
    assert np.array_equal(sound.samples[:, middle], ramp[:, middle])
    assert seam_ratio(ramp[0])[1] > 5 and seam_ratio(sound.samples[0])[1] < 2
    made = pipe.generate("rain", seconds=1.5, loop=True, **FAST)
    assert made.samples.shape == (1, round(1.5 * 22050)) and seam_ratio(made.samples[0])[1] < 2
    assert not np.array_equal(made.samples, pipe.generate("rain", seconds=1.5, **FAST).samples)


def test_variations_go_from_the_sound_to_new_ones(pipe):
    samples = noise(1, 22050) * np.exp(-4 * np.linspace(0, 1, 22050)).astype(np.float32)
    original = log_mel(excerpt(samples, 22050, pipe.config).wave, CFG)
    distances = []  # of the spectrograms: what an untrained vocoder makes of them is far off even with amount 0
    for amount in (0, 0.3, 1):
        sounds = pipe.make(VaryOptions("x", amount, num=2, **FAST), source=Source(samples, 22050))
        assert [sound.seed for sound in sounds] == [1, 2] and sounds[0].samples.shape == samples.shape
        distances.append(np.abs(sounds[0].mel - original)[:, :80].mean())
        assert not np.array_equal(*(sound.samples for sound in sounds)) or amount == 0
    assert distances[0] == 0 < distances[1] < distances[2]


def test_a_seed_is_an_edit(pipe):
    source = Source(noise(1), 22050)
    first, again, other = (
        pipe.make(InpaintOptions("x", boxes=(Box(0.2, 0.6),), steps=2, seed=seed), source=source)[0].samples
        for seed in (4, 4, 5)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("seconds", [2, 23])
def test_extension_adds_highs_and_keeps_the_lows(pipe, seconds):
    rate = 44100
    samples = low_passed(noise(seconds, rate, 2), rate, 4200, 100)
    (sound,) = pipe.make(ExtendOptions("x", **FAST), source=Source(samples, rate))
    assert sound.rate == rate and sound.samples.shape == samples.shape
    assert "ends at 4" in sound.warnings[0]

    def measured(x, low, high):  # but for 10 ms at the ends, where a sound that begins abruptly has all frequencies
        return band(x, rate, low, high)[:, 441:-441]

    low, kept = (measured(x, None, 3600) for x in (samples, sound.samples))
    assert (low - kept).std() < 0.01 * low.std()
    thirds = [np.abs(part).max() for part in np.array_split(measured(sound.samples, 4700, 7500), 3, axis=1)]
    assert min(thirds) > 1e-3 > np.abs(measured(samples, 4700, 7500)).max()


def test_what_is_added_above_the_model_s_bands_is_as_loud_as_what_ends_there():
    pipe = load(threads=1)
    highest = pipe.config.mel.f_max
    rate = round(5.5 * highest)
    samples = low_passed(noise(2, rate, 2), rate, highest / 2, 100)
    (sound,) = pipe.make(ExtendOptions("x", seed=1), source=Source(samples, rate))
    top, above, beyond = (
        band(sound.samples, rate, low, high)[:, 441:-441].std()
        for low, high in ((highest - 1200, highest - 100), (highest + 200, highest + 1300), (highest + 3500, None))
    )
    if highest < 20000:  # above that recordings end, and so do models of them
        assert 0.2 < above / top < 3
    assert above < 3 * top and beyond < 1e-3 * samples.std()


def test_extension_raises_a_low_rate_and_leaves_full_sounds_alone(pipe):
    (sound,) = pipe.make(ExtendOptions("x", **FAST), source=Source(noise(1, 8000), 8000))
    assert sound.rate == 22050 and sound.samples.shape == (1, 22050)
    assert pipe.make(ExtendOptions("x", **FAST), source=Source(noise(1, 22050), 22050)) == []
    with pytest.raises(SmgError, match="cutoff is 9000 Hz, above 8000 Hz"):
        pipe.make(ExtendOptions("x", cutoff=9000, **FAST), source=Source(noise(1, 22050), 22050))


@pytest.mark.parametrize("cutoff", [2000, 3400, 4200, 6000])
def test_brick_walls_and_shelves_are_found(cutoff):
    rng = np.random.default_rng(2)
    hz = np.fft.rfftfreq(3 * 44100, 1 / 44100)
    for tilt in (0, 0.5, 1):  # white, pink, brown
        spectrum = np.fft.rfft(rng.standard_normal(3 * 44100)) / np.maximum(hz, 20) ** tilt
        full = np.fft.irfft(spectrum)[None].astype(np.float32)
        full *= 0.5 / np.abs(full).max()
        assert find_cutoff(full, 44100) is None
        wall = low_passed(full, 44100, cutoff, 100)
        shelf = wall + 1e-5 * rng.standard_normal(full.shape).astype(np.float32)
        assert find_cutoff(wall, 44100) == pytest.approx(cutoff, rel=0.05)
        assert find_cutoff(shelf, 44100) == pytest.approx(cutoff, rel=0.05)
        assert find_cutoff(low_passed(full, 44100, cutoff, 8), 44100) == pytest.approx(cutoff, rel=0.15)


def test_a_tone_is_not_cut_off_but_a_low_rate_is():
    t = np.arange(44100) / 44100
    for hz in (300, 1000, 2100, 3000, 9000):
        assert find_cutoff(np.sin(2 * np.pi * hz * t)[None].astype(np.float32), 44100) is None
    assert find_cutoff(noise(1, 8000), 8000) == pytest.approx(4000, rel=0.05)


def test_known_sound_stays_through_griffin_lim():
    t = np.arange(256 * 96) / 22050
    wave = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    gap = slice(256 * 40, 256 * 48)
    fresh = fresh_cells((80, 96), gap.start, gap.stop, None, None, CFG)
    assert fresh.all(axis=0).sum() == 8 + 4  # the frames whose windows reach into the gap
    free = np.zeros(len(wave), bool)
    free[gap] = True
    mel, silent = log_mel(wave, CFG), np.where(free, 0, wave)
    errors = {}
    for name, known in (("joined", Known(silent, fresh, free)), ("alone", None)):
        made = griffin_lim(mel, CFG, 32, rng=np.random.default_rng(0), known=known)
        errors[name] = np.abs(made - wave)[gap.start - 64 : gap.start + 64].max()
        if known:
            assert np.array_equal(made[~free], wave[~free])
    assert errors["joined"] < 0.1 < errors["alone"]


def test_new_cells_are_brought_to_the_level_around_them():
    known = np.ones((80, 96), bool)
    known[:, 40:56] = False
    assert np.allclose(correction(np.full((80, 96), 0.7), known, CFG)[:, 36:60], 0.7, atol=0.01)
    start = np.arange(960) < 5 + np.zeros((80, 1))
    assert np.abs(correction(np.full((80, 960), 9.0), start, CFG)[:, 800:]).max() < 1e-3
    mel = np.where(known, -3.0, -4.5).astype(np.float32)
    settled = settle(mel, ~known, CFG)
    assert np.array_equal(settled[known], mel[known])
    assert np.allclose(settled[:, [40, 55]], -3, atol=0.1) and (np.diff(settled[0, 40:48]) < 0).all()
    # A sound that begins after quiet is not announced by what is made before it.
    mel[:, :40] = -4.5
    assert -4.5 < settle(mel, ~known, CFG)[0, 55] < -4.1


def test_the_guess_continues_what_is_there():
    mel = np.tile(np.linspace(-1, -5, 32, dtype=np.float32), (80, 1))
    fresh = np.zeros((80, 32), bool)
    fresh[:, 10:20] = True
    assert np.allclose(guess(mel, fresh, CFG), mel, atol=1e-5)
    high = np.zeros((80, 32), bool)
    high[60:] = True
    filled = guess(np.where(high, -11.5, mel), high, CFG)
    assert (
        np.array_equal(filled[:60], mel[:60]) and (filled[60:] > -7).all() and (np.diff(filled[60:], axis=0) < 0).all()
    )


def test_channels_that_cancel_each_other_are_heard(pipe):
    mono = noise(1)
    heard = excerpt(np.concatenate([mono, -mono]), 22050, pipe.config)
    assert np.abs(heard.wave).max() > 0.5
    left, right = heard.back(heard.wave, np.random.default_rng(0))
    assert np.allclose(left, mono[0], atol=0.01) and np.array_equal(left, -right)


def test_log_spectral_distance():
    a = noise(1)[0]
    assert lsd(a, a, 22050) == 0 and lsd(a, a * 10, 22050) == pytest.approx(2, abs=0.01)
    high = a + band(noise(1, seed=1), 22050, 8000, None)[0]
    assert lsd(a, high, 22050, 0, 6500) < 0.01 < lsd(a, high, 22050, 8000)
    one, two = log_power(a), log_power(a * 10)
    assert power_distance(one, two, 10.0) == 0 < power_distance(one, two, 0.5) < 2
    assert power_distance(one, two) == pytest.approx(2, abs=0.01)
