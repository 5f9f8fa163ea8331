"""The envelope estimator learns from the bands that sounds really have."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.spectrogram.band_envelope import FLOOR, envelope  # noqa: E402
from specmaskgit_cli.training import envelope_examples as examples  # noqa: E402
from specmaskgit_cli.training.envelope import _distance  # noqa: E402

MEL = PRESETS["full"].mel


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal(MEL.sample_rate).astype(np.float32) * 0.1


@pytest.mark.parametrize("cutoff", [4000, 8000, 16000])
def test_what_a_coder_or_a_low_rate_took_away_is_not_a_sounds_own(noise, cutoff):
    spectrum = np.fft.rfft(noise)
    spectrum[round(cutoff * len(noise) / MEL.sample_rate) :] = 0
    found = envelope(np.fft.irfft(spectrum).astype(np.float32), MEL, 64)[:, :64]
    own = examples.own_bands(found)
    assert abs(own - np.searchsorted(_tops(64), cutoff)) <= examples.WALL_BANDS


def test_a_whole_band_and_a_soft_slope_are_a_sounds_own(noise):
    hz = np.fft.rfftfreq(len(noise), 1 / MEL.sample_rate)
    for slope in (0, 12):  # dB an octave above 1 kHz
        sloped = np.fft.rfft(noise) * np.maximum(hz / 1000, 1) ** (-slope / 6)
        found = envelope(np.fft.irfft(sloped).astype(np.float32), MEL, 64)[:, :64]
        assert examples.own_bands(found) == 64


def test_rooms_last_longer_at_low_frequencies_and_noise_fills_silence():
    level = np.full((60, 16), FLOOR, np.float32)
    level[5] = 0.0
    wet = examples._in_room(level, np.linspace(10, 4, 16), -1.0)
    assert np.allclose(wet[5], 0, atol=1e-3) and np.all(wet[:5] < FLOOR + 1)
    assert np.all(np.diff(wet[6:20], axis=0) < 0) and np.all(wet[20, :8] > wet[20, 8:])
    rng = np.random.default_rng(1)
    kinds = [examples.varied(level, np.full_like(level, 0.2), rng) for _ in range(40)]
    softest = np.array([found.min() for found, _ in kinds])
    assert 0.1 < np.mean(softest > FLOOR + 1) < 0.6
    for found, roughness in kinds:
        assert found.shape == level.shape and found.dtype == roughness.dtype == np.float32
        assert np.isfinite(found).all() and found.min() >= FLOOR - 1e-5
        assert roughness.min() >= 0.2 - 1e-5 and roughness.max() <= examples.NOISE_ROUGHNESS + 1e-5


def test_a_coder_leaves_out_what_is_far_below_the_loudest():
    level = np.tile(np.linspace(0, -20, 32, dtype=np.float32), (3, 1))
    left = examples.coded(level, np.random.default_rng(0))
    assert (
        left[0, 0] == 0 and (left == np.float32(FLOOR)).any() and ((left == level) | (left == np.float32(FLOOR))).all()
    )


def test_too_soft_costs_more_than_too_loud_and_only_where_there_is_sound():
    target, heard = torch.zeros(1, 4, 8), torch.ones(1, 4)
    wanted = torch.zeros(1, 8, dtype=torch.bool)
    wanted[:, 4:6] = True
    over = _distance(target + 1, target, wanted, heard, 0.0, 1.5)
    under = _distance(target - 1, target, wanted, heard, 0.0, 1.5)
    assert float(over) == pytest.approx(1) and float(under) == pytest.approx(1.5**0.5)
    beyond = target.clone()
    beyond[..., 6:] = 9
    assert float(_distance(beyond, target, wanted, heard, 0.0)) == 0
    assert float(_distance(beyond, target, torch.zeros_like(wanted), heard, 0.0)) == 0


def _tops(bands):
    from specmaskgit_cli.spectrogram.band_envelope import _places

    return _places(MEL, bands)[0][1:]
