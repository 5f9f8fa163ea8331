"""Griffin-Lim: the waveform it makes has the mel it was given."""

import numpy as np
import pytest

from specmaskgit_cli.audio import griffin_lim as module
from specmaskgit_cli.audio.griffin_lim import griffin_lim, magnitudes
from specmaskgit_cli.audio.mel import log_mel, mel_filterbank
from specmaskgit_cli.config import MelConfig

CFG = MelConfig()


def sound(frames: int) -> np.ndarray:
    time = np.arange(frames * CFG.hop_length) / CFG.sample_rate
    burst = np.exp(-8 * (time % 0.5)) * np.random.default_rng(1).standard_normal(len(time))
    return (0.1 * burst + 0.2 * np.sin(2 * np.pi * 700 * time)).astype(np.float32)


def error(mel: np.ndarray, waveform: np.ndarray) -> float:
    return float(np.abs(log_mel(waveform, CFG) - mel).mean())


@pytest.mark.parametrize("frames", [1, 2, 3, 100])
def test_length_and_mel_agree(frames):
    mel = log_mel(sound(frames), CFG)
    waveform = griffin_lim(mel, CFG, rng=np.random.default_rng(0))
    assert waveform.shape == (frames * CFG.hop_length,) and waveform.dtype == np.float32
    assert log_mel(waveform, CFG).shape == mel.shape
    assert error(mel, waveform) < 0.25


def test_aligned_in_time():
    mel = log_mel(sound(100), CFG)
    waveform = griffin_lim(mel, CFG, rng=np.random.default_rng(0))
    aligned = error(mel[:, 2:-2], waveform[2 * CFG.hop_length : -2 * CFG.hop_length])
    for shift in (-1, 1):
        assert error(np.roll(mel, shift, axis=1)[:, 2:-2], waveform[2 * CFG.hop_length : -2 * CFG.hop_length]) > aligned


def test_more_iterations_come_closer():
    mel = log_mel(sound(80), CFG)
    errors = [error(mel, griffin_lim(mel, CFG, iterations=n, rng=np.random.default_rng(0))) for n in (0, 4, 32)]
    assert errors[0] > 1.3 * errors[1] > 1.3 * 1.2 * errors[2]


def test_momentum_converges_faster():
    mel = log_mel(sound(80), CFG)
    plain, fast = (error(mel, griffin_lim(mel, CFG, 16, m, rng=np.random.default_rng(0))) for m in (0.0, 0.99))
    assert fast < plain


def test_seed_decides_the_phases():
    mel = log_mel(sound(20), CFG)
    first, again, other = (griffin_lim(mel, CFG, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_magnitudes_have_the_mel():
    mel = log_mel(sound(60), CFG)
    got = magnitudes(mel, CFG)
    assert got.dtype == np.float32 and (got >= 0).all()
    bands = mel_filterbank(CFG)
    assert not bands[:, got.shape[1] :].any()
    assert np.abs(np.log(bands[:, : got.shape[1]] @ got.T) - mel).mean() < 0.02


def test_updates_improve_on_the_pseudo_inverse(monkeypatch):
    mel = np.random.default_rng(0).uniform(-6, 2, (80, 20)).astype(np.float32)  # rough: the pseudo-inverse goes below 0
    bands = mel_filterbank(CFG)

    def distance() -> float:
        got = magnitudes(mel, CFG)
        return float(np.linalg.norm(bands[:, : got.shape[1]] @ got.T - np.exp(mel)))

    refined = distance()
    monkeypatch.setattr(module, "INVERSION_STEPS", 0)
    assert refined < 0.7 * distance()


def test_silence_stays_silent():
    silent = np.full((80, 12), np.log(CFG.log_clamp), np.float32)
    assert np.abs(griffin_lim(silent, CFG, rng=np.random.default_rng(0))).max() < 1e-3
    assert griffin_lim(silent[:, :0], CFG, rng=np.random.default_rng(0)).shape == (0,)


def test_another_configuration():
    cfg = MelConfig(sample_rate=16000, n_fft=500, hop_length=160, n_mels=40, f_max=7600.0)
    waveform = 0.3 * np.random.default_rng(2).standard_normal(160 * 50)
    mel = log_mel(waveform, cfg)
    got = griffin_lim(mel, cfg, rng=np.random.default_rng(0))
    assert got.shape == waveform.shape
    assert np.abs(log_mel(got, cfg) - mel).mean() < 0.3
