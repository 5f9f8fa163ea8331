"""The spectral envelope: how loud each band of a sound is from moment to moment, up to half the sample rate.

Bandwidth extension has long been told apart into an envelope, estimated from the band that is known, and a texture to
fill it with (Jax and Vary, "On artificial bandwidth extension of telephone speech", Signal Processing 83, 2003). Here
the masked model draws the texture; `models.envelope` estimates the envelope, and `impose` brings the two together.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..config.settings import MelConfig
from ..threads import one_blas_thread
from .blur import blur
from .griffin_lim import istft, stft
from .mel import band_edges

FLOOR = float(np.log(1e-6))  # of power: 114 dB under a full-scale tone
PAIR = 2  # frames of the transform a step, whose mean it is
SMOOTH_STEPS = 1.0  # standard deviation of the weights of the moments around one, in the level that is corrected
MAX_CHANGE = 6.0  # nats of power
CLEAR = 1.04  # bands end this much below a cut-off to be known: no filter is a wall


def fine(cfg: MelConfig) -> MelConfig:
    """The framing of envelopes: windows and hops twice as long as those of the mel, bands up to half the rate."""
    return replace(cfg, n_fft=2 * cfg.n_fft, hop_length=2 * cfg.hop_length, f_min=0.0, f_max=cfg.sample_rate / 2)


def step_samples(cfg: MelConfig) -> int:
    """Samples of sound that one step of an envelope covers."""
    return PAIR * fine(cfg).hop_length


@one_blas_thread()
def envelope(wave: np.ndarray, cfg: MelConfig, bands: int) -> np.ndarray:
    """Levels of a sound's bands, and how rough they are.

    Args:
        wave: float32 [n] at cfg.sample_rate.

    Returns:
        float32 [steps, 2 * bands], steps = ceil(n / `step_samples`): of each band the mean over its frequency bins of
        the log of power, in nats, and what the log of their mean power has beyond it: 0.58 for noise, more for tones.
    """
    return _measured(_spectrum(wave, cfg), cfg, bands)


def known_bands(cutoff: float, cfg: MelConfig, bands: int) -> np.ndarray:
    """Bool [bands]: those that a sound which ends at `cutoff` Hz tells the level of."""
    edges, _ = _places(cfg, bands)
    return edges[1:] <= cutoff / CLEAR


@one_blas_thread()
def impose(wave: np.ndarray, target: np.ndarray, known: np.ndarray, share: float, cfg: MelConfig) -> np.ndarray:
    """A sound whose unknown bands are brought to given levels.

    Args:
        wave: float32 [n].
        target: levels [steps, bands], as `envelope` has them.
        known: bool [bands], those that stay as they are.
        share: of the way that the levels go, in nats.

    Returns:
        float32 [n].
    """
    bands = len(known)
    spectrum = _spectrum(wave, cfg)
    own = blur(_measured(spectrum, cfg, bands)[:, :bands], SMOOTH_STEPS, 0, "edge")
    change = np.clip(share * (target - own), -MAX_CHANGE, MAX_CHANGE) * ~known
    edges, _ = _places(cfg, bands)
    centres = (edges[1:] + edges[:-1]) / 2
    hz = np.linspace(0, cfg.sample_rate / 2, spectrum.shape[1])
    moments = (np.arange(len(spectrum)) + 0.5) / PAIR - 0.5
    over_time = np.stack([np.interp(moments, np.arange(len(change)), levels) for levels in change.T], axis=1)
    gain = np.stack([np.interp(hz, centres, levels) for levels in over_time])
    return istft(spectrum * np.exp(0.5 * gain).astype(np.float32), fine(cfg))[: len(wave)]


def _spectrum(wave: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """The transform [frames, bins] of [n] in whole steps."""
    return stft(np.pad(wave, (0, -len(wave) % step_samples(cfg))), fine(cfg))


def _measured(spectrum: np.ndarray, cfg: MelConfig, bands: int) -> np.ndarray:
    """What `envelope` gives, from the transform."""
    power = np.maximum(np.square(np.abs(spectrum)), np.exp(FLOOR, dtype=np.float32))
    _, average = _places(cfg, bands)
    level = np.log(power) @ average
    found = np.concatenate([level, np.log(power @ average) - level], axis=1)
    return found.reshape(-1, PAIR, 2 * bands).mean(axis=1)


@lru_cache(maxsize=8)
def _places(cfg: MelConfig, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the bands in Hz [bands + 1], evenly spaced in mel, and the mean over each one's bins [bins, bands]."""
    framing = replace(fine(cfg), n_mels=bands)
    edges = np.concatenate([[0.0], band_edges(framing)[1:-1], [cfg.sample_rate / 2]])
    hz = np.linspace(0, cfg.sample_rate / 2, framing.n_fft // 2 + 1)
    inside = (hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])
    inside[-1, -1] = True
    # A band too narrow to hold a bin has that of the nearest.
    for empty in np.flatnonzero(~inside.any(axis=0)):
        inside[np.abs(hz - edges[empty : empty + 2].mean()).argmin(), empty] = True
    return edges, (inside / inside.sum(axis=0)).astype(np.float32)
