"""Canvases: clips of all lengths arranged in time as a listener would expect to hear them.

Half of all clips are shorter than a second. Cut and padded they would teach "one bark, then silence"; here a steady
sound is carried on by crossfaded repetition, and an event recurs, regularly or not, with its siblings and at varied
levels, over the noise floor of its own recording: without it the gaps would teach a gate's digital silence. All in the
log-mel domain, where overlapping sounds are well approximated by their maximum.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ..config.settings import MelConfig
from ..spectrogram.mel import noise_mel
from .clips import Clip, ClipCache, Weighted

SHORT_SECONDS, TYPICAL_SECONDS = 2.2, 4.1  # of a canvas
STEADY_DEVIATION = 0.7  # nats of frame level: below it a sound is carried on, above it it is an event
STEADY_STEP = 0.023  # seconds between the frames that are compared for that
CROSSFADE = 0.14  # seconds
LATEST = 0.28  # seconds before the first event, at most
GAPS, VARIED_GAPS = (0.023, 0.7), (0.023, 1.045)  # seconds between events, shortest and longest: regular, or each drawn
FLOOR_QUANTILE = 0.1  # of a recording's frames: what a band has without the event
FLOOR_DEPTH = 5.0  # nats below a band's loudest moments, at least: a recording may have no frame without the event
FLOOR_DEVIATION = 0.5  # nats, of the log-mel of noise
NOISE_SECONDS = 47.55  # of noise that all floors are cut from


class CanvasMaker:
    """Draws captioned canvases from a cache.

    Args:
        clips: where the sounds are.
        balance: a label of n clips is drawn in proportion to n ** balance.
    """

    def __init__(self, clips: ClipCache, mel: MelConfig, balance: float = 0.6):
        self.clips, self.mel = clips, mel
        self.siblings: dict[tuple[str, str], list[Clip]] = defaultdict(list)
        labels: dict[str, int] = defaultdict(int)
        for clip in clips.clips:
            self.siblings[clip.label, clip.caption].append(clip)
            labels[clip.label] += 1
        weights = np.array([labels[c.label] ** (balance - 1) for c in clips.clips])
        self.weighted = Weighted(weights)
        self.noise = FLOOR_DEVIATION * noise_mel(np.random.default_rng(0), mel.frames(NOISE_SECONDS), mel).T

    def draw(self, rng: np.random.Generator, frames: int) -> tuple[np.ndarray, Clip]:
        """A canvas, float32 natural-log mel [frames, n_mels], and the clip whose caption it has."""
        clip = self.clips.clips[self.weighted.draw(rng)]
        return self.canvas(clip, rng, frames), clip

    def canvas(self, clip: Clip, rng: np.random.Generator, frames: int) -> np.ndarray:
        """A canvas of one clip and its siblings."""
        canvas = np.full((frames, self.mel.n_mels), self.mel.scale_min, np.float32)
        mel = self._mel(clip)
        if len(mel) >= frames:
            start = rng.integers(0, len(mel) - frames + 1) if rng.random() < 0.7 else 0
            canvas[:] = mel[start : start + frames]
        elif len(mel) > 3 * self.mel.frames(CROSSFADE) and _is_steady(mel, self.mel.frames(STEADY_STEP)):
            self._carry_on(canvas, mel, rng)
        else:
            self._place_events(canvas, clip, mel, rng)
        if rng.random() < 0.3:
            canvas -= rng.uniform(0, 1.2)
        return np.maximum(canvas, self.mel.scale_min)

    def _mel(self, clip: Clip) -> np.ndarray:
        return self.clips.clip_mel(clip).astype(np.float32)

    def _carry_on(self, canvas: np.ndarray, mel: np.ndarray, rng: np.random.Generator) -> None:
        """Fill the canvas with crossfaded pieces of a steady sound."""
        at = 0
        while at < len(canvas):
            begin = rng.integers(0, max(1, len(mel) // 3))
            piece = mel[begin:]
            fade = min(self.mel.frames(CROSSFADE), at, len(piece))
            n = min(len(piece), len(canvas) - at + fade)
            piece = piece[:n]
            if fade:
                ramp = np.linspace(0, 1, fade + 2, dtype=np.float32)[1:-1, None][: len(piece)]
                start = at - fade
                mixed = canvas[start : start + len(ramp)] * (1 - ramp) + piece[: len(ramp)] * ramp
                canvas[start : start + len(ramp)] = mixed
                canvas[at : start + len(piece)] = piece[fade:]
                at = start + len(piece)
            else:
                canvas[:n] = piece
                at = n
            if n <= fade:
                break

    def _place_events(self, canvas: np.ndarray, clip: Clip, mel: np.ndarray, rng: np.random.Generator) -> None:
        """One event, or several: the clip and its siblings of the same caption, with regular or varied gaps."""
        family = self.siblings[clip.label, clip.caption] if rng.random() < 0.5 else [clip]
        style = rng.random()
        gap = self._gap(rng, GAPS)
        at = rng.integers(0, self.mel.frames(LATEST)) if rng.random() < 0.7 else 0
        first = True
        self._lay_floor(canvas, mel, rng)
        while at < len(canvas):
            if not first:
                mel = self._mel(family[rng.integers(len(family))])
            n = min(len(mel), len(canvas) - at)
            gain = 0.0 if first else rng.uniform(-0.9, 0.0)
            canvas[at : at + n] = np.maximum(canvas[at : at + n], mel[:n] + gain)
            if first and style < 0.15:
                return
            first = False
            at += n + (gap if style < 0.55 else self._gap(rng, VARIED_GAPS))

    def _gap(self, rng: np.random.Generator, limits: tuple[float, float]) -> int:
        """Frames of a gap between two limits in seconds, short ones as likely as long ones."""
        shortest, longest = map(self.mel.frames, limits)
        return int(np.exp(rng.uniform(np.log(shortest), np.log(longest))))

    def _lay_floor(self, canvas: np.ndarray, mel: np.ndarray, rng: np.random.Generator) -> None:
        """The noise floor of a recording all over the canvas."""
        floor = np.minimum(np.quantile(mel, FLOOR_QUANTILE, axis=0), mel.max(axis=0) - FLOOR_DEPTH)
        start = rng.integers(0, len(self.noise) - len(canvas) + 1)
        np.maximum(canvas, floor + self.noise[start : start + len(canvas)], out=canvas)


def _is_steady(mel: np.ndarray, step: int) -> bool:
    """Whether every `step`-th frame of a mel [frames, n_mels] is about as loud as the others."""
    level = mel[::step].max(1)
    return len(level) > 8 and float(level[2:-2].std()) < STEADY_DEVIATION
