"""What a timeline asks for and the generator did not deliver: onsets moved into place, levels brought to those asked.

Both work on the spectrogram, before a waveform is made of it, so that nothing clicks and pitches stay.
"""

from __future__ import annotations

import math

import numpy as np

from ..conditioning.contour import RANGE
from ..conditioning.timeline import Timeline
from ..config.settings import MelConfig

REACH_SECONDS = 0.08  # to both sides, within which the onset of an event is looked for
EDGE_SECONDS = 0.025  # before and after an onset, that are compared
CLEAR = 0.2  # nats, in the mean over the bands: a rise that is an onset
LEAD_SECONDS, ATTACK_SECONDS = 0.015, 0.1  # around an onset, that are moved as they are
SMOOTH_SECONDS = 0.046  # over which the level is measured
GENTLE_SECONDS = 0.4  # over which a gain changes
GAIN = 1.0  # nats to both sides, the most it changes by
MARGIN = 0.35  # nats above the asked level, beyond which the sound is lowered at once
SILENCE = 7.0  # nats that silence is below the loudest


def impose(mel: np.ndarray, timeline: Timeline, cfg: MelConfig) -> np.ndarray:
    """A natural-log mel [n_mels, frames] with its onsets and levels as a timeline of as many frames or more asks."""
    return levelled(aligned(mel, timeline.onsets, cfg), timeline.loudness[: mel.shape[1]], cfg)


def aligned(mel: np.ndarray, onsets: tuple[int, ...], cfg: MelConfig) -> np.ndarray:
    """The mel with its events moved to `onsets`, frames that ascend; what lies between is stretched for it."""
    frames = mel.shape[1]
    found = [_nearest_onset(mel, onset, *_room(onsets, index, cfg), cfg) for index, onset in enumerate(onsets)]
    lead, attack = cfg.frames(LEAD_SECONDS), cfg.frames(ATTACK_SECONDS)
    ends = np.diff([*zip(onsets, found, strict=True), (frames, frames)], axis=0).min(axis=1) // 2 - lead
    points = [(-lead - 1, -lead - 1)]
    for onset, there, end in zip(onsets, found, ends, strict=True):
        for shift in (-lead, int(np.clip(end, 0, attack))):
            point = onset + shift, there + shift
            if all(points[-1][axis] < point[axis] < frames for axis in (0, 1)):
                points.append(point)
    wanted, origin = np.array([*points, (frames, frames)]).T
    # Whole frames, as means of two would lack the texture.
    return mel[:, np.interp(np.arange(frames), wanted, origin).round().astype(int).clip(0, frames - 1)]


def levelled(mel: np.ndarray, loudness: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """The mel brought to a loudness [frames] by a gain that changes slowly, and lowered at once where it is louder."""
    asked = np.where(loudness > 0, RANGE * (loudness - 1), -SILENCE)
    weight = np.exp(asked)
    level = _level(mel, cfg)
    level -= np.average(level - asked, weights=weight)
    window = np.hanning(2 * cfg.frames(GENTLE_SECONDS) + 1)
    gain = np.convolve(weight * (asked - level), window, "same") / np.convolve(weight, window, "same")
    gain = gain.clip(-GAIN, GAIN)
    gain += np.clip(asked + MARGIN - level - gain, -SILENCE, 0)
    return np.maximum(mel + gain.astype(np.float32), np.float32(math.log(cfg.log_clamp)))


def _room(onsets: tuple[int, ...], index: int, cfg: MelConfig) -> tuple[int, int]:
    """The frames, the first and the one after the last, in which an onset can be: nearer to it than to the others."""
    here, reach = onsets[index], cfg.frames(REACH_SECONDS)
    low = here - reach if index == 0 else max(here - reach, (onsets[index - 1] + here + 1) // 2)
    high = here + reach if index + 1 == len(onsets) else min(here + reach, (here + onsets[index + 1]) // 2)
    return max(0, low), high + 1


def _nearest_onset(mel: np.ndarray, wanted: int, low: int, high: int, cfg: MelConfig) -> int:
    """The frame from `low` on and before `high` in which the spectrum rises most; `wanted` where it hardly does."""
    edge = cfg.frames(EDGE_SECONDS)
    floor = mel.max() - RANGE
    around = np.pad(np.maximum(mel, floor), ((0, 0), (edge, edge)), constant_values=floor)
    places = np.arange(low, min(high, mel.shape[1]))
    if not len(places):
        return wanted
    after, before = (
        np.stack([around[:, place + shift : place + shift + edge].mean(axis=1) for place in places])
        for shift in (edge, 0)
    )
    rise = np.maximum(after - before, 0).mean(axis=1)
    near = 1 - 0.3 * np.abs(places - wanted) / cfg.frames(REACH_SECONDS)
    best = int(np.argmax(rise * near))
    return int(places[best]) if rise[best] > CLEAR else wanted


def _level(mel: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """The level of each frame in nats, averaged over SMOOTH_SECONDS, [frames]."""
    power, width = np.exp(2 * mel).sum(axis=0), cfg.frames(SMOOTH_SECONDS)
    return 0.5 * np.log(np.convolve(power, np.full(width, 1 / width), "same") + 1e-12)
