"""Two channels of one: what happens stays in the middle, the texture that goes on is around the listener.

The mid is the mono sound itself, so that nothing is lost where the channels are added. The side is noise with the
spectrum of that part of it whose texture the decoder draws, and which lasts.
"""

from __future__ import annotations

import numpy as np

from ..audio.gain import held
from ..audio.levels import crossfade, peak_of
from ..audio.spatial import Frames, noise_like
from ..config.settings import MelConfig
from ..spectrogram.blur import blur
from ..spectrogram.mel import band_edges, noise_deviation

STEP_SECONDS = 0.046  # of which one value of the share is told
TEXTURE_STEPS, TEXTURE_OCTAVES = 1.5, 0.1  # around a cell, over which draws are compared
LASTING_SECONDS = 1.0  # around a moment, whose level it may exceed
EVENT = 1.4  # nats of power by which it may, and still be taken to last
DRAWN = 0.7  # of the variance of noise, that the decoder draws in rain, wind and applause
LIMIT_SECONDS = 0.003  # within which the side gives way to a peak of the mid
WRAP_SECONDS = 0.2  # over which the side of a loop runs into its beginning


def lasting_texture(first: np.ndarray, second: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Which share of a sound's power is noise that goes on, in each band and each step of 46 ms.

    What is noise in the ears of the decoder differs between two draws of it as two spectrograms of noise do; a tone
    does not. What lasts is as loud as the seconds around it; a bark is not.

    Args:
        first, second: natural-log mels [n_mels, frames] of the same tokens with different noise.

    Returns:
        float32 [n_mels, steps], from 0 to 1.
    """
    size = cfg.frames(STEP_SECONDS)
    starts = np.arange(0, first.shape[1], size)
    counts = np.diff(starts, append=first.shape[1])

    def in_steps(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts, axis=1, dtype=np.float64) / counts

    deviation = np.maximum(noise_deviation(cfg), 0.05)  # of a band too narrow to hold a bin it is nothing
    drawn = in_steps(0.5 * np.square((first - second) / deviation))
    drawn = blur(blur(drawn, TEXTURE_STEPS, 1, "edge"), cfg.bands(TEXTURE_OCTAVES), 0, "edge")
    level = in_steps(first + second)  # twice their mean: nats of power
    lasting = blur(level, LASTING_SECONDS / STEP_SECONDS, 1, "edge") - blur(level, 1, 1, "edge") + EVENT
    share = np.clip(drawn / DRAWN, 0, 1) * np.exp(np.minimum(lasting, 0))
    return share.astype(np.float32)


def beside(
    mid: np.ndarray, share: np.ndarray, width: float, cfg: MelConfig, rng: np.random.Generator, loop: bool = False
) -> np.ndarray:
    """The side of a mono sound: half the difference of its two channels.

    Args:
        mid: [n], at the rate of `cfg`.
        share: of its power that is to surround, as `lasting_texture` has it.
        width: from 0 to 1, where noise is unrelated in both channels.
        loop: the end is to run into the beginning.

    Returns:
        float32 [n]; nowhere does |mid| + |side| exceed the peak of the mid.
    """
    wrap = min(len(mid), round(WRAP_SECONDS * cfg.sample_rate)) if loop else 0
    x, frames = np.concatenate([mid, mid[:wrap]]), Frames.at(cfg.sample_rate)
    hz = np.fft.rfftfreq(frames.size, 1 / cfg.sample_rate)
    bands = np.clip(np.searchsorted(band_edges(cfg), hz) - 1, 0, cfg.n_mels - 1)
    size = cfg.frames(STEP_SECONDS) * cfg.hop_length
    gains = np.float32(width) * np.sqrt(share)

    def spectra(start: int, stop: int) -> np.ndarray:
        steps = np.arange(start, stop) * frames.hop % max(1, len(mid)) // size
        gain = gains[:, np.minimum(steps, gains.shape[1] - 1)][bands]
        return noise_like(x, frames, start, stop, rng, 1) * gain.T

    side = frames.sounds(len(x), 1, spectra)[0]
    return _limited(crossfade(side[len(mid) :], side[: len(mid)], wrap), mid, cfg.sample_rate)


def _limited(side: np.ndarray, mid: np.ndarray, rate: int) -> np.ndarray:
    """The side, softer for moments in which it would add to a peak."""
    room = (peak_of(mid) - np.abs(mid)) / np.maximum(np.abs(side), 1e-9)
    reach = max(1, round(LIMIT_SECONDS * rate))
    around = 2 * reach  # as of a loop: what is at its end says something of its beginning
    gain = held(np.pad(np.minimum(1, room), around, mode="wrap"), reach)
    return side * gain[around : around + len(side)]
