"""Spectral band replication of spectrums: frequencies above those that a mel reaches, from the texture below."""

from __future__ import annotations

import numpy as np

from ..audio.replication import FALL, MAX_POWER, SHIFT, STEADY_SECONDS
from ..config.settings import MelConfig

FLANK = 400.0  # Hz below the models' highest frequency, over which what was moved there takes over
EDGE = 1200.0, 200.0  # Hz below it, between which its level is taken


def fill(spectrum: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """A spectrum that ends where the bands of the mel do, gone on for 3 kHz.

    The band below is moved up, frame by frame, at the level the sound has at the end of its bands: in real sounds the
    next kHz is as loud as the one before, and those after it fall off about as the ones moved there do. (Neural
    vocoders of such mels learn to do as much.) It moves by so many bins that its phases go on from frame to frame.

    Args:
        spectrum: complex64 [frames, bins], of as many bins as the bands cover.

    Returns:
        complex64 [frames, n_fft // 2 + 1]; the spectrum itself if its bands reach half the sample rate, or not far
        enough to be moved.
    """
    width = cfg.sample_rate / cfg.n_fft
    turn = cfg.n_fft // cfg.hop_length  # bins, of which one hop is a whole number of periods
    shift = round(SHIFT / width / turn) * turn
    first, top, count = round((cfg.f_max - FLANK) / width), round(cfg.f_max / width), cfg.n_fft // 2 + 1
    last = min(count, spectrum.shape[1] + shift)
    edge = slice(*(top - round(below / width) for below in EDGE))
    if top >= count - 1 or edge.start < shift:
        return spectrum
    out = np.zeros((len(spectrum), count), np.complex64)
    out[:, : spectrum.shape[1]] = spectrum
    places = np.arange(first, last)
    ramps = (places - first) / (top - first), (last - 1 - places) / (FALL * last)
    rise, fall = ((0.5 - 0.5 * np.cos(np.pi * np.clip(ramp, 0, 1))).astype(np.float32) for ramp in ramps)
    moved = slice(edge.stop - shift, edge.stop - shift + (edge.stop - edge.start))  # what comes right above it
    wanted, found = (_power(spectrum[:, part], round(STEADY_SECONDS * cfg.frames_per_second)) for part in (edge, moved))
    gain = np.sqrt(np.minimum(wanted / found, MAX_POWER))[:, None]
    out[:, first:last] *= 1 - rise
    out[:, first:last] += gain * (rise * fall) * spectrum[:, first - shift : last - shift]
    return out


def _power(part: np.ndarray, frames: int) -> np.ndarray:
    """Float32 [frames]: mean power of bins, averaged over so many frames (made odd)."""
    power = np.square(np.abs(part)).mean(axis=1)
    reach = frames // 2
    near = np.lib.stride_tricks.sliding_window_view(np.pad(power, reach, mode="edge"), 2 * reach + 1)
    return near.mean(axis=1, dtype=np.float32) + np.float32(1e-14)
