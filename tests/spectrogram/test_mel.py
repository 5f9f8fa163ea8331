"""The mel front end against librosa, and its promises on shapes, scale and noise."""

import librosa
import numpy as np
import pytest
import threadpoolctl

from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.spectrogram import mel as front_end
from specmaskgit_cli.spectrogram.mel import denormalize, log_mel, mel_filterbank, noise_mel, normalize

CFG = MelConfig()


def reference(waveform: np.ndarray) -> np.ndarray:
    margin = (CFG.n_fft - CFG.hop_length) // 2
    padded = np.pad(waveform, margin, mode="reflect")
    spectrum = np.abs(librosa.stft(padded, n_fft=CFG.n_fft, hop_length=CFG.hop_length, center=False))
    return np.log(np.maximum(librosa_bands() @ spectrum, CFG.log_clamp))


def librosa_bands() -> np.ndarray:
    return librosa.filters.mel(
        sr=CFG.sample_rate, n_fft=CFG.n_fft, n_mels=CFG.n_mels, fmin=CFG.f_min, fmax=CFG.f_max, htk=False, norm="slaney"
    )


def noise(samples: int, scale: float = 0.1) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(samples).astype(np.float32) * np.float32(scale)


def test_the_threads_numpy_may_use_do_not_show():
    from specmaskgit_cli.spectrogram.griffin_lim import _inversion

    found = []
    for threads in (1, 2, 4):
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            for cached in (front_end._noise_statistics, _inversion):
                cached.cache_clear()
            mel = log_mel(noise(110250), CFG)
            found.append((mel, *_inversion(CFG), noise_mel(np.random.default_rng(0), 400, CFG)))
    for one, *others in zip(*found, strict=True):
        assert all(np.array_equal(one, other) for other in others)


def test_filterbank_is_librosas():
    bands = mel_filterbank(CFG)
    assert bands.shape == (80, 513) and bands.dtype == np.float32
    np.testing.assert_allclose(bands, librosa_bands(), atol=1e-6)
    assert mel_filterbank(MelConfig()) is bands
    with pytest.raises(ValueError):
        bands[0, 0] = 1.0


def test_filterbank_of_another_configuration():
    cfg = MelConfig(sample_rate=16000, n_fft=512, n_mels=64, f_min=50.0, f_max=7600.0)
    expected = librosa.filters.mel(sr=16000, n_fft=512, n_mels=64, fmin=50.0, fmax=7600.0)
    np.testing.assert_allclose(mel_filterbank(cfg), expected, atol=1e-6)


@pytest.mark.parametrize("samples", [385, 1000, 22050, 22050 * 3 + 17])
def test_log_mel_is_librosas(samples):
    waveform = noise(samples) + 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / CFG.sample_rate).astype(np.float32)
    got = log_mel(waveform, CFG)
    assert got.dtype == np.float32 and got.shape == (80, samples // 256)
    np.testing.assert_allclose(got, reference(waveform), atol=1e-4)


def test_chunks_join_without_a_seam(monkeypatch):
    waveform = noise(50_000)
    whole = log_mel(waveform, CFG)
    monkeypatch.setattr(front_end, "FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(log_mel(waveform, CFG), whole, atol=1e-5)


def test_leading_dimensions():
    batch = noise(2 * 3 * 4096).reshape(2, 3, 4096)
    got = log_mel(batch, CFG)
    assert got.shape == (2, 3, 80, 16)
    np.testing.assert_array_equal(got[1, 2], log_mel(batch[1, 2], CFG))
    assert log_mel(np.zeros((0, 4096)), CFG).shape == (0, 80, 16)


@pytest.mark.parametrize("samples", [0, 1, 255, 256, 384, 511])
def test_short_waveforms_have_one_frame(samples):
    short = noise(samples)
    got = log_mel(short, CFG)
    assert got.shape == (80, 1)
    extended = short if samples >= 385 else np.pad(short, (0, 385 - samples))
    np.testing.assert_allclose(got, reference(extended), atol=1e-4)


def test_silence_is_the_clamp():
    np.testing.assert_allclose(log_mel(np.zeros(2048), CFG), np.log(CFG.log_clamp), atol=1e-6)


def test_scale_is_affine_and_clipped():
    ends = np.array([CFG.scale_min, (CFG.scale_min + CFG.scale_max) / 2, CFG.scale_max])
    np.testing.assert_allclose(normalize(ends, CFG), [-1, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(normalize(np.array([-50.0, 50.0]), CFG), [-1, 1])
    np.testing.assert_allclose(denormalize(np.array([-3.0, 3.0]), CFG), [CFG.scale_min, CFG.scale_max], atol=1e-6)
    inside = np.linspace(CFG.scale_min, CFG.scale_max, 50, dtype=np.float32).reshape(5, 10)
    back = denormalize(normalize(inside, CFG), CFG)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, inside, atol=1e-5)


def test_noise_is_standardised_and_seeded():
    got = noise_mel(np.random.default_rng(3), 4000, CFG)
    assert got.shape == (80, 4000) and got.dtype == np.float32
    assert np.abs(got.mean(axis=1)).max() < 0.12
    assert np.abs(got.std(axis=1) - 1).max() < 0.12
    np.testing.assert_array_equal(got, noise_mel(np.random.default_rng(3), 4000, CFG))
    assert not np.array_equal(got, noise_mel(np.random.default_rng(4), 4000, CFG))


def test_noise_is_alike_at_the_edges():
    rng = np.random.default_rng(5)
    ends = np.stack([noise_mel(rng, 2, CFG) for _ in range(300)])
    assert np.abs(ends.mean(axis=0)).max() < 0.35
    assert noise_mel(rng, 0, CFG).shape == (80, 0)
