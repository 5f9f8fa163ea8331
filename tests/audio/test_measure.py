"""What is told of a sound in numbers, held against sounds whose numbers are known."""

from itertools import pairwise

import numpy as np
import pytest

from specmaskgit_cli.audio.measure import BANDS, PARTS, measure, spread
from specmaskgit_cli.audio.samples import Audio

RATE = 44100
TIME = np.arange(2 * RATE) / RATE


@pytest.mark.parametrize(("hertz", "band"), [(60, 0), (300, 1), (1000, 2), (4000, 3), (12_000, 4)])
def test_energy_is_told_by_bands(hertz, band):
    tone = np.float32(0.5) * np.sin(2 * np.pi * hertz * TIME, dtype=np.float32)
    bands = spread(np.stack([tone, -tone]), RATE)["bands"]
    assert [(each["low"], each["high"]) for each in bands] == list(pairwise(BANDS))
    assert bands[band]["db"] == pytest.approx(0, abs=0.05)
    assert all(each["db"] < -20 for index, each in enumerate(bands) if index != band)


def test_the_course_of_the_level_is_told():
    tone = np.sin(2 * np.pi * 1000 * TIME).astype(np.float32)
    course = spread((tone * (TIME < 1))[None], RATE)["course_db"]
    assert len(course) == PARTS and course[PARTS // 2 :] == [None] * (PARTS // 2)
    assert course[:6] == pytest.approx([-3.01] * 6, abs=0.05)


def test_levels_of_a_tone_and_of_silence():
    tone = np.float32(0.5) * np.sin(2 * np.pi * 997 * TIME, dtype=np.float32)
    found = measure(Audio(tone[None], RATE, "PCM_16", "WAV", ("cut short",)))
    assert found["peak_db"] == pytest.approx(-6.02, abs=0.01) and found["lufs"] == pytest.approx(-9.03, abs=0.1)
    assert (found["seconds"], found["channels"], found["warnings"]) == (2, 1, ["cut short"])
    silent = np.zeros((1, 100), np.float32)
    nothing = measure(Audio(silent, RATE, "PCM_16", "WAV")) | spread(silent, RATE)
    assert nothing["peak_db"] is nothing["lufs"] is nothing["bands"][0]["db"] is nothing["course_db"][0] is None
