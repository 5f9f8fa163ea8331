"""Griffin-Lim: the waveform it makes has the mel it was given."""

import numpy as np
import pytest

from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.spectrogram import griffin_lim as module
from specmaskgit_cli.spectrogram.griffin_lim import griffin_lim, magnitudes
from specmaskgit_cli.spectrogram.mel import log_mel, mel_filterbank
from specmaskgit_cli.spectrogram.replication import fill

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


def level(wave: np.ndarray, low: float, high: float) -> float:
    """Mean power between two frequencies, in dB."""
    hz = np.fft.rfftfreq(len(wave), 1 / CFG.sample_rate)
    return 10 * np.log10(np.square(np.abs(np.fft.rfft(wave)[(hz >= low) & (hz < high)])).mean())


def test_noise_goes_on_above_the_bands():
    noise = 0.1 * np.random.default_rng(3).standard_normal(200 * CFG.hop_length).astype(np.float32)
    waveform = griffin_lim(log_mel(noise, CFG), CFG, rng=np.random.default_rng(0))
    below = level(waveform, 6500, 7500)
    for low in (7500, 8000, 8500, 9000):
        assert abs(level(waveform, low, low + 500) - below) < 2
    assert level(waveform, 10900, 11025) < below - 15


def test_nothing_goes_on_where_the_bands_end_in_nothing():
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(100 * CFG.hop_length) / CFG.sample_rate).astype(np.float32)
    waveform = griffin_lim(log_mel(tone, CFG), CFG, rng=np.random.default_rng(0))
    assert level(waveform, 8000, 11000) < level(waveform, 500, 1500) - 45


def test_a_tone_moved_up_stays_steady():
    time = np.arange(100 * CFG.hop_length) / CFG.sample_rate
    tone = np.sin(2 * np.pi * 6000 * time) + np.sin(2 * np.pi * 7300 * time)
    bins = module._inversion(CFG)[0].shape[1]
    spectrum = module.stft(tone.astype(np.float32), CFG)[:, :bins]
    new = (module.istft(fill(spectrum, CFG), CFG) - module.istft(spectrum, CFG))[
        8 * CFG.hop_length : -8 * CFG.hop_length
    ]
    hz = np.fft.rfftfreq(len(new), 1 / CFG.sample_rate)
    size = np.abs(np.fft.rfft(new * np.hanning(len(new))))
    shift = 140 * CFG.sample_rate / CFG.n_fft
    assert abs(hz[np.argmax(size)] - 6000 - shift) < hz[1]
    near = np.abs(hz - 6000 - shift) < 5 * hz[1]
    assert np.square(size[near]).sum() > 0.9 * np.square(size[(hz > 8200) & (hz < 10000)]).sum()


@pytest.mark.parametrize(
    "changed", [{"f_max": 11025.0}, {"sample_rate": 16000, "f_max": 8000.0}, {"f_max": 2000.0}, {"f_max": 4000.0}]
)
def test_no_air_above_bands_that_reach_the_end_or_start_low(changed):
    cfg = MelConfig(**changed)
    spectrum = np.ones((3, module._inversion(cfg)[0].shape[1]), np.complex64)
    assert fill(spectrum, cfg) is spectrum
