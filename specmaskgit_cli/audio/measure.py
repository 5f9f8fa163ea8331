"""What can be told of a sound in numbers: its format, its levels, and how its energy lies in frequency and time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from .levels import peak_of
from .loudness import integrated_loudness, true_peak_db
from .samples import Audio

BANDS = (20, 150, 500, 2000, 6000, 20_000)  # Hz: rumble, body, voice, presence, air
PARTS = 12  # of the course of a sound
_BLOCK = 1 << 16


def measure(audio: Audio) -> dict[str, Any]:
    """Length, format and levels as plain JSON types; a level is None where the sound is silent."""
    peak = peak_of(audio.samples)
    return {
        "seconds": round(audio.samples.shape[1] / audio.rate, 6),
        "samples": audio.samples.shape[1],
        "sample_rate": audio.rate,
        "channels": len(audio.samples),
        "format": audio.format,
        "subtype": audio.subtype,
        "peak_db": _decibels(20 * math.log10(peak) if peak else -math.inf),
        "true_peak_db": _decibels(true_peak_db(audio.samples, audio.rate)),
        "lufs": _decibels(integrated_loudness(audio.samples, audio.rate)),
        "warnings": list(audio.notes),
    }


def spread(samples: np.ndarray, rate: int) -> dict[str, Any]:
    """How the energy of samples [channels, n] lies in frequency and time, as plain JSON types.

    Returns:
        "bands": for each of BANDS `low`, `high` in Hz and `db`, its energy relative to all, None where it has none;
        "course_db": the level of each of PARTS equal parts in dBFS, from the first to the last, None where silent.
    """
    power = np.zeros(_BLOCK // 2 + 1)
    for start in range(0, samples.shape[1], _BLOCK):
        power += np.square(np.abs(np.fft.rfft(samples[:, start : start + _BLOCK], _BLOCK))).sum(0)
    hertz = np.fft.rfftfreq(_BLOCK, 1 / rate)
    bands = []
    for low, high in pairwise(BANDS):
        energy = power[(hertz >= low) & (hertz < high)].sum() / (power.sum() or 1.0)
        bands.append({"low": low, "high": high, "db": _decibels(10 * math.log10(energy) if energy else -math.inf)})
    parts = np.array_split(np.square(samples).mean(0, dtype=np.float64), min(PARTS, samples.shape[1]))
    levels = (float(part.mean()) for part in parts)
    return {"bands": bands, "course_db": [_decibels(10 * math.log10(each) if each else -math.inf) for each in levels]}


def _decibels(value: float) -> float | None:
    """None, which JSON can hold, for silence."""
    return round(value, 2) if math.isfinite(value) else None
