"""Peaks, fades, crossfades, and the spectrogram image."""

import struct
import zlib

import numpy as np
import pytest

from specmaskgit_cli.audio.levels import crossfade, fade, limit_peak, normalize_peak
from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.spectrogram.image import save_spectrogram

CFG = MelConfig()
MINUS_1_DB = 10 ** (-1 / 20)


@pytest.mark.parametrize("level", [0.1, 0.5, 4.0])
def test_normalize_peak_goes_both_ways(level):
    x = level * np.array([0.5, -1.0, 0.25])
    got = normalize_peak(x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, MINUS_1_DB * np.array([0.5, -1.0, 0.25]), rtol=1e-5)


def test_normalize_peak_limits_the_gain():
    np.testing.assert_allclose(normalize_peak(np.array([0.001, 0.0])), [10**1.5 * 0.001, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(normalize_peak(np.zeros(4)), np.zeros(4))
    assert len(normalize_peak(np.zeros(0))) == 0


def test_limit_peak_only_scales_down():
    np.testing.assert_allclose(limit_peak(np.array([2.0, -1.0]), -6.0), [10**-0.3, -(10**-0.3) / 2], rtol=1e-5)
    np.testing.assert_array_equal(limit_peak(np.array([0.25, -0.5])), np.array([0.25, -0.5], np.float32))


@pytest.mark.parametrize("shape", [(1000,), (2, 1000)])
def test_fade(shape):
    x = np.ones(shape, np.float32)
    got = fade(x, 10_000, 0.01, 0.02).T
    assert (got[0] == 0).all() and (got[-1] == 0).all() and (x == 1).all()
    np.testing.assert_allclose(got[50], 0.5, atol=0.01)
    np.testing.assert_allclose(got[900], 0.5, atol=0.01)
    assert (got[100:800] == 1).all() and (got[1:100] < 1).all() and (got[800:-1] > 0).all()


def test_fade_of_a_short_sound():
    got = fade(np.ones(9), 22050, 1.0, 1.0)
    assert got[0] == 0 and got[4] == 1 and got[-1] == 0
    assert len(fade(np.zeros(0), 22050)) == 0


def test_crossfade_joins():
    a, b = np.full(10, 2.0), np.full(7, 4.0)
    got = crossfade(a, b, 4, "linear")
    np.testing.assert_allclose(got, [2.0] * 6 + [2.25, 2.75, 3.25, 3.75] + [4.0] * 3, rtol=1e-6)
    np.testing.assert_array_equal(crossfade(a, b, 0), np.concatenate([a, b]))
    assert crossfade(np.zeros((2, 10)), np.zeros((2, 7)), 4).shape == (2, 13)


def test_equal_power_keeps_the_power_of_noise():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(40_000), rng.standard_normal(40_000)
    assert np.mean(crossfade(a, b, 40_000) ** 2) == pytest.approx(1.0, abs=0.03)
    assert np.mean(crossfade(a, b, 40_000, "linear") ** 2) == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.parametrize("n, curve", [(8, "linear"), (-1, "linear"), (2, "cubic")])
def test_crossfade_refuses(n, curve):
    with pytest.raises(ValueError):
        crossfade(np.zeros(10), np.zeros(7), n, curve)


def read_png(path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [height, width] and palette [256, 3] of an unfiltered palette image, all checksums verified."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


def test_image_shows_low_frequencies_below(tmp_path):
    mel = np.full((80, 300), CFG.scale_min, np.float32)
    mel[0, :100] = CFG.scale_max
    mel[79, 200:] = (CFG.scale_min + CFG.scale_max) / 2
    save_spectrogram(tmp_path / "s.png", mel, CFG)
    pixels, palette = read_png(tmp_path / "s.png")
    assert pixels.shape == (240, 300)
    assert (pixels[-3:, :100] == 255).all() and (pixels[:3, 200:] == 128).all()
    assert not pixels[3:-3].any() and not pixels[:, 100:200].any()
    assert palette.shape == (256, 3)
    luma = palette @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) >= -0.5).all() and luma[0] < 2 and luma[-1] > 230


def test_short_spectrogram_is_enlarged(tmp_path):
    save_spectrogram(tmp_path / "s.png", np.zeros((80, 7), np.float32), CFG)
    assert read_png(tmp_path / "s.png")[0].shape == (240, 245)


def test_image_path_that_cannot_be_written(tmp_path):
    with pytest.raises(SmgError, match="does not exist"):
        save_spectrogram(tmp_path / "no" / "s.png", np.zeros((80, 7), np.float32), CFG)
