"""Examples for the envelope estimator: levels of sounds as recordings of any origin may have them.

All of it happens on levels in bands, where an equaliser is a sum and a room a decay, so that an example costs no
filtering of waveforms.
"""

from __future__ import annotations

import numpy as np

from ..spectrogram.band_envelope import FLOOR

WALL_NATS = 4.6  # 20 dB, by which levels fall at the end of a sound's own band and do not recover
WALL_BANDS = 2  # within so many bands on both sides
QUIET_NATS = 4.6  # of power over the floor: what lies below says nothing of where the band ends
TILT = 1.4  # nats of power, 6 dB, by which an equaliser raises one end and lowers the other, at most
RIPPLES, RIPPLE = (0.5, 3.0), 0.8  # how often a curve goes up and down over all bands, and by how many nats
NOISE_SHARE, NOISE_NATS = 0.3, (7.0, 14.0)  # of the examples; below the loudest band
ROOM_SHARE, ROOM_STEPS = 0.3, (2.0, 12.0)  # of the examples; the time in which the lowest bands fall by a nat
CODEC_SHARE, CODEC_NATS = 0.15, (8.0, 14.0)  # of the examples; below the loudest of a moment, what a coder leaves out
NOISE_ROUGHNESS = 0.58  # the logarithm of the mean power of noise beyond the mean of its logarithm


def own_bands(level: np.ndarray) -> int:
    """How many bands from the lowest up are a sound's own: what lies above was taken away before we got it.

    Args:
        level: float32 [steps, bands], log of power.
    """
    mean = np.log(np.exp(level).mean(axis=0))
    above = np.maximum.accumulate(mean[::-1])[::-1]
    drop = mean[: -2 * WALL_BANDS] - above[2 * WALL_BANDS :]
    walls = np.flatnonzero((drop >= WALL_NATS) & (mean[: len(drop)] > FLOOR + QUIET_NATS))
    return int(walls[0]) + WALL_BANDS if len(walls) else len(mean)


def varied(level: np.ndarray, roughness: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Levels and roughness [steps, bands] through an equaliser, and some of them in a room or over noise."""
    bands = level.shape[1]
    place = np.linspace(-1, 1, bands)
    ripple = np.cos(np.pi * (rng.uniform(*RIPPLES) * place + rng.uniform(0, 2)))
    level = level + rng.uniform(-TILT, TILT) * place + rng.uniform(0, RIPPLE) * ripple
    if rng.random() < ROOM_SHARE:
        level = _in_room(level, rng.uniform(*ROOM_STEPS) * np.linspace(1, 0.4, bands), rng.uniform(-4, -1))
    if rng.random() < NOISE_SHARE:
        noise = level.max() - rng.uniform(*NOISE_NATS) - rng.uniform(0, 1) * (place + 1)
        louder = np.logaddexp(level, noise)
        share = np.exp(level - louder)
        level, roughness = louder, share * roughness + (1 - share) * NOISE_ROUGHNESS
    return np.maximum(level, FLOOR).astype(np.float32), roughness.astype(np.float32)


def _in_room(level: np.ndarray, decay: np.ndarray, wet: float) -> np.ndarray:
    """With a tail that falls by a nat in `decay` [bands] steps, `wet` nats below what it follows."""
    tail, out = np.full(level.shape[1], FLOOR), np.empty_like(level)
    for step, now in enumerate(level):
        out[step] = np.logaddexp(now, tail + wet)
        tail = np.logaddexp(tail, now) - 1 / decay
    return out


def coded(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Levels [steps, bands] as a lossy coder leaves them: what is far below the loudest of a moment is gone."""
    left_out = level < level.max(axis=1, keepdims=True) - rng.uniform(*CODEC_NATS)
    return np.where(left_out, np.float32(FLOOR), level)
