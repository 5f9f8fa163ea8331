"""From times and levels that were asked for to a contour: events cut out of known sounds, and levels over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config.settings import CheckpointConfig
from ..errors import UsageError
from .contour import RANGE, flagged

RISE = 0.25  # of the loudness, a quarter of RANGE: what rises more within three moments begins an event
NEARLY = 0.15  # by which the loudness may lie below the peak in the first moment of an event; less is only a part of it
FLOOR = 0.05  # above the background, at which an event has ended
FALL = 0.12  # a moment, at which the end of an event that was cut off dies away
PLAIN_SECONDS = 0.5  # in which an event dies away whose like no known sound tells
BREATH_SECONDS = 1.0  # the loudest moments within so long follow an envelope; what is softer between them stays so


@dataclass(frozen=True)
class Timeline:
    """What is asked of a sound, frame by frame.

    Attributes:
        loudness: float32 [frames], 1 for the loudest frame, 0 for RANGE below and for silence.
        brightness: float32 [frames], as of a contour; None leaves it to the generator.
        onsets: the frames in which events begin, ascending.
    """

    loudness: np.ndarray
    brightness: np.ndarray | None
    onsets: tuple[int, ...] = ()

    def contour(self, columns: int, steps: int) -> np.ndarray:
        """The contour of so many columns, float32 [columns, 2 * steps + 2] as `contour.flagged` gives it."""
        power = np.where(self.loudness > 0, np.exp(2 * RANGE * (self.loudness - 1)), 0).reshape(columns, steps, -1)
        level = 0.5 * np.log(power.mean(axis=2) + 1e-12)
        loudness = np.clip(1 + (level - level.max()) / RANGE, 0, 1)
        brightness = np.zeros_like(loudness)
        if self.brightness is not None:
            weighted = (power * self.brightness.reshape(power.shape)).sum(axis=2) / (power.sum(axis=2) + 1e-12)
            brightness = weighted * (loudness > 0)
        everywhere = np.ones(columns, bool)
        both = np.concatenate([loudness, brightness], axis=1)
        return flagged(both, everywhere, everywhere & (self.brightness is not None))


@dataclass(frozen=True)
class Timing:
    """When a sound is to happen and how loud it is to be.

    Attributes:
        at: seconds at which its events begin; none leaves the events to the sound.
        envelope: pairs of a time in seconds and an amplitude from 0 to 1, ascending in time.
    """

    at: tuple[float, ...] = ()
    envelope: tuple[tuple[float, float], ...] = ()

    def timeline(self, drawn: np.ndarray | None, columns: int, config: CheckpointConfig) -> Timeline:
        """The timeline of a sound of so many columns.

        Args:
            drawn: the contour of a known sound, [any, 2 * steps + 2], from whose loudest onset the events are cut, or
                whose changes in detail an envelope keeps; None where none is known.

        Raises:
            UsageError: nothing can be heard by the envelope.
        """
        per_second, patch = config.mel.frames_per_second, config.tokenizer.patch_frames
        moment, frames = patch / config.generator.contour_steps, columns * patch
        onsets = tuple(index for time in self.at if (index := round(time * per_second)) < frames)
        lines = None if drawn is None else _lines(drawn, config.generator.contour_steps)
        if self.at:
            plain = np.linspace(1, 0, max(2, round(PLAIN_SECONDS * per_second / moment)))
            event = np.stack([plain, 0 * plain]) if lines is None else cut_event(lines)
            loudness, brightness = _placed(_at_frames(event, event.shape[1] * moment, moment), onsets, frames)
        elif lines is None:
            loudness, brightness = np.ones(frames), np.zeros(frames)
        else:
            flat = np.stack([flattened(lines[0], round(BREATH_SECONDS * per_second / moment)), lines[1]])
            loudness, brightness = _at_frames(flat, frames, moment)
        if self.envelope:
            loudness = loudness + _decay(self.envelope, (np.arange(frames) + 0.5) / per_second)
        if loudness.max() <= 0:
            raise UsageError("envelope is silent for all of the sound; give it a level where something is to be heard")
        loudness = np.where(loudness > 0, loudness + 1 - loudness.max(), 0)
        return Timeline(loudness.astype(np.float32), None if lines is None else brightness.astype(np.float32), onsets)


def cut_event(lines: np.ndarray) -> np.ndarray:
    """The event that begins at the loudest onset of a contour, [2, moments]: loudness, from 1 to 0, and brightness.

    It lasts until the sound is back at what was heard before, or rises again. A sound that never rises is all of it.

    Args:
        lines: [2, moments], loudness and brightness of a known sound.
    """
    loudness, brightness = lines
    count = len(loudness)
    before = np.concatenate([loudness[:1], loudness[:-1]])
    ahead = np.lib.stride_tricks.sliding_window_view(np.pad(loudness, (0, 2), mode="edge"), 3).max(axis=1)
    rise = ahead - before
    first = int(np.argmax(rise * np.square(ahead)))
    if rise[first] < RISE:
        first, background = 0, 0.0
    else:
        background = before[first]
        while loudness[first] < background + RISE / 2:
            first += 1
        if ahead[first] - loudness[first] > NEARLY:  # the event began late in this moment
            first += 1
    last = first + int(np.argmax(loudness[first : first + 3]))
    softest = loudness[last]
    while last + 1 < count and background + FLOOR < loudness[last + 1] < softest + RISE:
        last += 1
        softest = min(softest, loudness[last])
    event = np.stack([loudness[first : last + 1], brightness[first : last + 1]])
    tail = np.arange(event[0, -1] - FALL, -FALL, -FALL).clip(0)
    event = np.concatenate([event, np.stack([tail, np.full(len(tail), event[1, -1])])], axis=1)
    event[0] = np.where(event[0] > 0, event[0] + 1 - event[0].max(), 0)
    return event


def flattened(loudness: np.ndarray, width: int) -> np.ndarray:
    """A loudness [moments] whose loudest moments within every `width` of them lie at 1."""
    width = max(1, min(width, len(loudness)) // 2 * 2 - 1)
    sides = (width // 2, width // 2)
    loudest = np.lib.stride_tricks.sliding_window_view(np.pad(loudness, sides, mode="edge"), width).max(axis=1)
    smooth = np.lib.stride_tricks.sliding_window_view(np.pad(loudest, sides, mode="edge"), width).mean(axis=1)
    return np.clip(loudness + 1 - smooth, 0, 1)


def _lines(contour: np.ndarray, steps: int) -> np.ndarray:
    """Loudness and brightness [2, moments] of a contour [columns, 2 * steps + 2]."""
    return np.stack([contour[:, :steps].ravel(), contour[:, steps : 2 * steps].ravel()])


def _at_frames(lines: np.ndarray, frames: float, moment: float) -> np.ndarray:
    """Lines [2, moments] at so many frames, of which a moment has `moment`; values hold to the middle of the first."""
    places = np.arange(round(frames)) / moment
    return np.stack([np.interp(places, np.arange(line.size) + 0.5, line) for line in lines])


def _placed(event: np.ndarray, onsets: tuple[int, ...], frames: int) -> np.ndarray:
    """An event [2, any] at all onsets, [2, frames]; where several sound, the loudest of them."""
    placed = np.zeros((2, frames))
    for onset in onsets:
        there = placed[:, onset : onset + event.shape[1]]
        part = event[:, : there.shape[1]]
        there[:] = np.where(part[0] >= there[0], part, there)
    return placed


def _decay(envelope: tuple[tuple[float, float], ...], times: np.ndarray) -> np.ndarray:
    """What an envelope adds to the loudness at some times: 0 at its full level, -1 in silence, linear in decibels."""
    points, levels = np.array(envelope).T
    return np.interp(times, points, np.log(np.maximum(levels, np.exp(-RANGE))) / RANGE)
