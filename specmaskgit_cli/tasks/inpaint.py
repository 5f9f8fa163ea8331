"""Boxes of time and frequency made anew; everything outside them stays the sound's own samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..audio.filters import FADE_SECONDS, band, plateau
from ..audio.levels import peak_of
from ..audio.replication import brightened
from ..errors import UsageError
from ..options import Box, InpaintOptions
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, Engine
from .base import Result
from .levels import fitted, limited
from .regenerate import fresh_cells, regenerate
from .source import Source, excerpt

# Of a gap whose level is all the model's. Without a prompt, that of a shorter one is, so much of it as is missing here,
# the level around it: 60 sounds with a gap of 2 s came out 3.2 instead of 4.0 dB too loud or too soft.
OWN_LEVEL_SECONDS = 4.0


@dataclass(frozen=True)
class Span:
    """A box in samples of the sound it lies in."""

    start: int
    stop: int
    low: float | None = None
    high: float | None = None


def run(engine: Engine, draw: Draw, source: Source, options: InpaintOptions) -> Result:
    """Only the neighbourhood of the boxes is decoded, so that the length of the sound does not matter."""
    samples, mel, notes = source.samples.copy(), None, ()
    boxes = tuple(box.within(source.seconds) for box in options.boxes)
    groups = neighbourhoods(engine, source, boxes)
    for index, (start, stop, spans) in enumerate(groups):
        samples[:, start:stop], mel, found = repaint(
            engine, draw.part(index, len(groups)), samples[:, start:stop], source.rate, spans
        )
        notes += found
    return Result(samples, source.rate, mel, tuple(dict.fromkeys(notes)), replace(options, boxes=boxes))


def repaint(
    engine: Engine, draw: Draw, samples: np.ndarray, rate: int, spans: list[Span]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Make the spans of samples [channels, m] anew; returns them with the spans replaced, the mel [n_mels, frames], and
    notes for the user.

    Outside the spans the samples are returned as they are. Those inside blend in over 30 ms at the span's ends.

    Raises:
        UsageError: there is neither a prompt nor a sound beside the spans to go by.
    """
    config, length = engine.config, samples.shape[1]
    whole = [span for span in spans if span.low is None and span.high is None]
    stays, around = np.ones(length, bool), np.ones(length, bool)
    for span in whole:
        stays[span.start : span.stop] = False
    for span in spans:
        around[span.start : span.stop] = False
    if draw.condition is None and not np.any(samples[:, stays]):
        raise UsageError("there is no sound around what is to be made; say with a prompt what it should be")
    gaps = [(span.start, span.stop) for span in whole]
    clip = excerpt(samples, rate, config, gaps, around if around.any() else None)
    cfg, prompted = config.mel, draw.condition is not None
    fresh = np.zeros((cfg.n_mels, len(clip.wave) // cfg.hop_length), bool)
    free, trust = np.zeros(len(clip.wave), bool), np.ones(fresh.shape, np.float32)
    for span in spans:
        start, stop = clip.place(span.start), max(clip.place(span.stop), clip.place(span.start) + 1)
        cells = fresh_cells(fresh.shape, start, stop, span.low, span.high, cfg)
        if not prompted:
            trust[cells & ~fresh] = min(1.0, (stop - start) / cfg.sample_rate / OWN_LEVEL_SECONDS)
        fresh |= cells
        free[start:stop] = True
    made = regenerate(engine, draw, clip.wave, fresh, free, trust)
    new = clip.back(made, draw.rng)
    # Full-band boxes replace the samples. In a band, the change of that band is added, which leaves the others.
    changed = samples + new - clip.reached if len(whole) < len(spans) else samples
    if whole:
        new = brightened(new, rate, cfg.f_max, _around(samples - clip.lows, whole, rate))
    result, notes, most = samples.copy(), [], max(1.0, peak_of(samples[:, stays]))
    for span in sorted(spans, key=whole.__contains__):
        inside = np.s_[:, span.start : span.stop]
        flanks = plateau(length, span.start, span.stop, rate)[span.start : span.stop]
        if span in whole:
            level, said = fitted(
                new[inside], samples[:, stays], rate, cfg.f_max, clip.lows[inside], prompted, samples[inside]
            )
            notes += said
            result[inside] += flanks * (level + clip.lows[inside] - result[inside])
        else:
            change = flanks * band(changed - result, rate, span.low, span.high)[inside]
            result[inside] += limited(change, rate, most - np.abs(result[inside]))[0]
    return result, log_mel(made, cfg), tuple(notes)


def _around(samples: np.ndarray, spans: list[Span], rate: int) -> np.ndarray:
    """Samples [channels, m], silent in the spans and faded out towards them."""
    edge, around, length = round(FADE_SECONDS * rate), samples, samples.shape[1]
    for span in spans:
        start, stop = max(0, span.start - edge), min(length, span.stop + edge)
        around = around * (1 - plateau(length, start, stop, rate))
    return around


def neighbourhoods(engine: Engine, source: Source, boxes: tuple[Box, ...]) -> list[tuple[int, int, list[Span]]]:
    """(start, stop, spans relative to start) in samples: boxes near each other together.

    Raises:
        UsageError: a box outside the sound, or above its highest frequency.
    """
    config = engine.config
    column = config.column_samples * source.rate / config.mel.sample_rate
    window, margin = config.generator.max_columns * column, engine.context * column
    total, spans = source.samples.shape[1], []
    for box in boxes:
        if box.end > source.seconds:
            raise UsageError(f"the span from {box.start:g} to {box.end:g} s is outside {source.name}, "
                             f"which lasts {source.seconds:.6g} s")  # fmt: skip
        top = min(config.mel.f_max, source.rate / 2)
        if (box.low or 0) >= top:
            raise UsageError(f"the band from {box.low:g} Hz is above {top:g} Hz, the highest that can be made here")
        span = Span(round(box.start * source.rate), min(total, round(box.end * source.rate)), box.low, box.high)
        if span.stop - span.start < 8:
            raise UsageError(f"the span from {box.start:g} to {box.end:g} s is too short; make it longer")
        spans.append(span)
    groups: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: span.start):
        if groups and span.start - margin < max(other.stop for other in groups[-1]) + margin:
            groups[-1].append(span)
        else:
            groups.append([span])
    placed = []
    for group in groups:
        first, last = group[0].start, max(span.stop for span in group)
        around = max(margin, (window - (last - first)) / 2)
        start, stop = max(0, int(first - around)), min(total, int(last + around))
        # Exactly one window where that is enough, as a column more would take a second one.
        stop = min(stop, max(start + int(window), int(last + margin)))
        placed.append((start, stop, [Span(s.start - start, s.stop - start, s.low, s.high) for s in group]))
    return placed
