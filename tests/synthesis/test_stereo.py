"""Two channels of a new sound: the texture around, all else in the middle, and nothing lost in mono."""

import numpy as np
import pytest

from specmaskgit_cli.audio.filters import band
from specmaskgit_cli.audio.levels import peak_of
from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.spectrogram.mel import log_mel, noise_deviation, noise_mel
from specmaskgit_cli.synthesis.stereo import beside, lasting_texture

FRONT_ENDS = (MelConfig(), MelConfig(sample_rate=44100, n_mels=96, f_max=22050.0))


def noise(cfg, seconds=3.0, seed=0):
    samples = round(seconds * cfg.sample_rate) // cfg.hop_length * cfg.hop_length
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1


def draws(mean, cfg):
    """Two mels whose texture is drawn."""
    drawn = (noise_mel(np.random.default_rng(seed), mean.shape[1], cfg) for seed in (1, 2))
    return [mean + each * noise_deviation(cfg) for each in drawn]


def correlation(mid, side):
    return np.corrcoef(mid + side, mid - side)[0, 1]


@pytest.mark.parametrize("cfg", FRONT_ENDS)
def test_noise_surrounds_as_far_as_asked_for(cfg):
    wave = noise(cfg)
    share = lasting_texture(*draws(np.full((cfg.n_mels, len(wave) // cfg.hop_length), -3, np.float32), cfg), cfg)
    assert share.min() > 0.5 and share.mean() > 0.9
    found = []
    for width in (0.0, 0.3, 0.6, 1.0):
        side = beside(wave, share, width, cfg, np.random.default_rng(0))
        assert peak_of(np.abs(wave) + np.abs(side)) <= peak_of(wave) * (1 + 1e-6)
        found.append(correlation(wave, side))
    assert found == pytest.approx([1, 0.83, 0.47, 0.07], abs=0.06)
    assert not beside(wave, share, 0.0, cfg, np.random.default_rng(0)).any()


@pytest.mark.parametrize("cfg", FRONT_ENDS)
def test_a_tone_stays_in_the_middle(cfg):
    t = np.arange(3 * cfg.sample_rate) / cfg.sample_rate
    wave = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    mel = log_mel(wave, cfg)
    side = beside(wave, lasting_texture(mel, mel, cfg), 1.0, cfg, np.random.default_rng(0))
    assert correlation(wave, side) > 0.999


def test_a_short_noise_stays_in_the_middle_and_what_goes_on_around_it_does_not():
    cfg = MelConfig()
    wave = 0.03 * noise(cfg)
    bark = slice(wave.size // 2, wave.size // 2 + cfg.sample_rate // 5)
    wave[bark] *= 100
    mel = log_mel(wave, cfg)
    share = lasting_texture(*(mel + each for each in draws(0 * mel, cfg)), cfg)
    side = beside(wave, share, 1.0, cfg, np.random.default_rng(0))
    before = slice(0, wave.size // 3)
    assert correlation(wave[bark], side[bark]) > 0.9 > 0.3 > correlation(wave[before], side[before])


def test_the_side_of_a_loop_runs_into_its_beginning():
    cfg = MelConfig()
    slow = band(noise(cfg)[None], cfg.sample_rate, None, 60)[0]
    share = np.ones((cfg.n_mels, len(slow) // (4 * cfg.hop_length) + 1), np.float32)

    def jump(seed, loop):
        side = beside(slow, share, 1.0, cfg, np.random.default_rng(seed), loop)
        return abs(side[0] - side[-1]) / np.abs(np.diff(side)).max()

    assert max(jump(seed, True) for seed in range(5)) < 1 < max(jump(seed, False) for seed in range(5))
