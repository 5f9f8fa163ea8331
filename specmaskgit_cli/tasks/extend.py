"""Bandwidth extension: the rows of tokens above a sound's cut-off made anew, its own band kept as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..audio.files import resample
from ..audio.filters import band
from ..audio.levels import peak_of
from ..audio.replication import air, highest
from ..audio.spatial import spatial_image
from ..errors import UsageError
from ..options import ExtendOptions, options_of
from ..spectrogram.band_envelope import envelope, impose, known_bands, step_samples
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, Engine
from .base import Result
from .cutoff import find_cutoff
from .levels import limited
from .regenerate import fresh_cells, regenerate
from .source import Source, excerpt

FLANK = 1.1  # of `band`: its upper end is this much above its lower
WEAK = 1.15  # a sound fades towards its cut-off: what lies above this share of it says nothing of the level there
STRADDLE = 0.5  # of a patch may be made anew without drawing it, so that the model hears all that is known
TRUST = 0.5  # in the level of what is drawn, against the lower bands' envelope carried upwards
CONFIDENCE = 0.7  # in the estimated envelope, against the level of what was made
JOIN_STEPS = 8  # of the levels, over which those of two windows are compared
REMADE_SECONDS = 0.1  # at the end of a window, where the sound was cut off


def run(engine: Engine, draw: Draw, source: Source, options: ExtendOptions) -> Result | None:
    """The sound with new high frequencies added, at its own rate or the models' if that is higher.

    Below the cut-off the samples of the input stay (low-frequency replacement); the new part comes in over the tenth
    of the cut-off's frequency below it, and goes on for 3 kHz above the highest frequency of the models. Long sounds
    are made in windows, each of which continues the one before.

    Returns:
        None where nothing is missing below the highest frequency the model reaches.

    Raises:
        UsageError: the sound is silent, or the cut-off above what can be filled.
    """
    config = engine.config
    top = config.mel.f_max
    if not source.samples.any():
        raise UsageError(f"{source.name} is silent; name a file with sound in it")
    cutoff = options.cutoff or find_cutoff(source.samples, source.rate)
    if options.cutoff and cutoff >= min(top, source.rate / 2):
        limit = "half the sample rate" if source.rate / 2 < top else "the highest the model reaches"
        raise UsageError(f"cutoff is {cutoff:g} Hz, above {min(top, source.rate / 2):g} Hz, {limit}; use a lower one")
    if cutoff is None or cutoff > 0.95 * top:
        return None
    rate = max(source.rate, config.mel.sample_rate)
    samples = resample(source.samples, source.rate, rate)
    samples = samples.copy() if samples is source.samples else samples
    column = config.column_samples * rate / config.mel.sample_rate
    window, overlap = int(config.generator.max_columns * column), int(engine.context * column)
    starts = list(range(0, max(1, samples.shape[1] - overlap), window - overlap))
    original = samples[:, :0]  # of the overlap, before anything was added to it
    levels = None
    for index, start in enumerate(starts):
        part = samples[:, start : start + window]
        done = max(0, original.shape[1] - round(REMADE_SECONDS * rate))
        low = np.concatenate([original, part[:, original.shape[1] :]], axis=1)
        original = low[:, window - overlap :]
        part[:], mel, levels = _extend_window(
            engine, draw.part(index, len(starts)), part, low, done, rate, cutoff, levels
        )
    note = f"the sound ends at {cutoff:.0f} Hz; made anew from there to {highest(top, rate):g} Hz"
    allowed = cutoff >= options_of(ExtendOptions)["cutoff"].kind.low  # which it is but for rates of 1 kHz
    return Result(samples, rate, mel, (note,), replace(options, cutoff=cutoff) if allowed else None)


def _extend_window(
    engine: Engine, draw: Draw, part: np.ndarray, low: np.ndarray, done: int, rate: int, cutoff: float,
    before: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:  # fmt: skip
    """`part` [channels, m], of which `done` samples are extended already, extended throughout; its mel; and the levels
    [steps, bands] its new bands were brought to, if they were, at the level of the part itself.

    `low` is the same without what was added, `before` the levels of the window before.
    """
    config, length = engine.config, part.shape[1]
    if not part.any():
        return part, log_mel(np.zeros(config.column_samples), config.mel), None
    clip = excerpt(part, rate, config)
    cfg = config.mel
    fresh = np.zeros((cfg.n_mels, len(clip.wave) // cfg.hop_length), bool)
    begin = clip.place(done)
    fresh |= fresh_cells(fresh.shape, begin, len(clip.wave), cutoff / WEAK, None, cfg)
    free = np.arange(len(clip.wave)) >= begin
    made = regenerate(engine, draw, clip.wave, fresh, free, TRUST, STRADDLE)
    made += air(made[None], cfg.sample_rate, cfg.f_max)[0]
    known, levels = known_bands(cutoff, cfg, config.envelope.bands), None
    if config.envelope.width and known.any():
        gain = 2 * np.log(clip.gain)
        levels = _levels(engine, clip.wave, clip.place(length), known) - gain
        if before is not None:
            levels = carried(levels, before, engine.context * config.column_samples // step_samples(cfg))
        made = impose(made, levels + gain, known, CONFIDENCE, cfg)
    # The new band is where the octave below the cut-off is; the flank lies within the known band.
    placed = spatial_image(low, clip.mix, rate, top=cutoff).render(clip.mono(made, length), draw.rng)
    change = band(placed - low, rate, cutoff / FLANK, None)
    # What was extended in the window before stays, and runs into the new over the end of the overlap.
    rise = np.clip((np.arange(length) - done) / max(1, round(0.02 * rate)) + 1, 0, 1) if done else np.ones(length)
    rise = rise.astype(np.float32)
    change = limited(change, rate, max(1.0, peak_of(low)) - np.abs(low))[0]  # or a loud sound would clip with it
    return part * (1 - rise) + (low + change) * rise, log_mel(made, cfg), levels


def _levels(engine: Engine, wave: np.ndarray, length: int, known: np.ndarray) -> np.ndarray:
    """The most likely levels [steps, bands] of all bands of a sound [n], silent after `length`, as `envelope` has
    them."""
    cfg = engine.config.mel
    found = envelope(wave, cfg, len(known))
    within = np.arange(len(found)) * step_samples(cfg) < length
    return engine.runtime.estimate_envelope(found[None], known[None], within[None])[0]


def carried(levels: np.ndarray, before: np.ndarray, overlap: int) -> np.ndarray:
    """Levels [steps, bands] of a window, beginning where those of the one before end, which it overlaps by so many
    steps: what a whole window is like moves the levels in it, and a step would be heard where one follows another."""
    end = slice(overlap - min(JOIN_STEPS, overlap), overlap)
    difference = (before[len(before) - overlap :][end] - levels[end]).mean(axis=0)
    return levels + difference * np.clip(2 - np.arange(len(levels)) / max(overlap, 1), 0, 1)[:, None]
