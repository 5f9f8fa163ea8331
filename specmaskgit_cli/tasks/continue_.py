"""Outpainting: a sound goes on after its end, or begins earlier, in the same timbre."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..audio.levels import fade
from ..audio.replication import brightened
from ..audio.spatial import spatial_image
from ..errors import UsageError
from ..options import ContinueOptions
from ..spectrogram.mel import log_mel
from ..synthesis.engine import Draw, Engine
from .base import Result
from .levels import fitted, heard, level_of
from .regenerate import fresh_cells, regenerate
from .source import Source, excerpt, sunk

JOIN_SECONDS = 0.01  # over which the new part takes over from the mirrored end of the old
LEVEL_SECONDS = 0.25  # on both sides of the join, whose levels are made equal
SETTLE_SECONDS = 0.25  # in which the change of level for that dies away
MAX_GAIN = 4.0
AWAY_SECONDS = 3.0  # from the join, where the new part no longer goes by how wide the last moments were


def run(engine: Engine, draw: Draw, source: Source, options: ContinueOptions) -> Result:
    """The sound, bit for bit, with `seconds` of new sound after or before it.

    Each window of new sound is decoded with the one before as context. Level, tilt and condition are those of the
    last ten seconds of the input (the first, with `before`), so that they do not drift.

    Raises:
        UsageError: that part is silent and there is no prompt.
    """
    config, backward = engine.config, options.before
    cfg, column = config.mel, config.column_samples
    window_seconds = config.generator.max_columns * column / cfg.sample_rate
    length = min(source.samples.shape[1], round(window_seconds * source.rate))
    near = source.samples[:, :length] if backward else source.samples[:, -length:]
    prompted = draw.condition is not None
    if not prompted and not near.any():
        where = "begins" if backward else "ends"
        raise UsageError(f"{source.name} {where} in silence; say with a prompt what should be there")
    clip = excerpt(near, source.rate, config)
    exact = max(1, clip.place(length))  # what follows in `clip.wave` is padding
    if not prompted:
        draw = replace(draw, condition=engine.prompts.of_mel(log_mel(clip.wave, cfg)))

    wanted = int(np.ceil((options.seconds + JOIN_SECONDS) * cfg.sample_rate))
    context = min(engine.context * column, exact)
    ends = [clip.wave[:context] if backward else clip.wave[exact - context : exact]]
    fresh_columns = config.generator.max_columns - engine.context
    windows = -(-wanted // (fresh_columns * column))
    mels = []
    for index in range(windows):
        known = ends[-1][:context] if backward else ends[-1][-context:]
        missing = min(fresh_columns * column, wanted - index * fresh_columns * column)
        size = -(-(len(known) + missing) // column) * column
        silent = np.zeros(size - len(known), np.float32)
        wave = np.concatenate([silent, known] if backward else [known, silent])
        start, stop = (0, len(silent)) if backward else (len(known), size)
        free = np.zeros(size, bool)
        free[start:stop] = True
        fresh = fresh_cells((cfg.n_mels, size // cfg.hop_length), start, stop, None, None, cfg)
        wave = regenerate(engine, draw.part(index, windows), wave, fresh, free)
        new = wave[:stop] if backward else wave[start:]
        mels.append(log_mel(new, cfg))
        ends.append(new[-missing:] if backward else new[:missing])
    new = _at_rate(clip, ends, context, backward, round(options.seconds * source.rate))
    new = _placed(new, near - clip.lows, clip.mix, source.rate, backward, draw.rng)
    new = brightened(new, source.rate, cfg.f_max, near - clip.lows)
    new = _levelled(new, near, source.rate, cfg.f_max, backward)
    step = -1 if backward else 1  # the lows of the input sink to its offset, which stays
    under = sunk(clip.lows[:, ::step], new.shape[1], source.rate)[:, ::step]
    new, notes = fitted(new, near, source.rate, cfg.f_max, under, prompted)
    new = _joined(new, under, near, source.rate, backward)
    parts = [new, source.samples] if backward else [source.samples, new]
    mel = np.concatenate(mels[::-1] if backward else mels, axis=1)
    return Result(np.concatenate(parts, axis=1), source.rate, mel, notes)


def _at_rate(clip, pieces, context: int, backward: bool, length: int) -> np.ndarray:
    """The new pieces as [length] at the input's rate, resampled together with the context they follow."""
    whole = np.concatenate(pieces[::-1] if backward else pieces)
    if backward:  # resampled in reverse, so that sample 0 is at the join in both directions
        return _at_rate(clip, [piece[::-1] for piece in pieces], context, False, length)[::-1]
    skip = round(context * clip.rate / clip.model_rate)
    return clip.mono(whole, skip + length)[skip:]


def _placed(
    new: np.ndarray, near: np.ndarray, mix: np.ndarray, rate: int, backward: bool, rng: np.random.Generator
) -> np.ndarray:
    """A new mono part [n] as [channels, n]: at first where `near` ends, then more and more where it is as a whole."""
    unknown = min(len(new), round(AWAY_SECONDS * rate))
    samples = np.pad(near, ((0, 0), (unknown, 0) if backward else (0, unknown)))
    known = np.pad(np.ones(near.shape[1], bool), (unknown, 0) if backward else (0, unknown))
    offset = unknown - len(new) if backward else near.shape[1]
    return spatial_image(samples, mix, rate, known).render(new, rng, offset)


def _levelled(new: np.ndarray, near: np.ndarray, rate: int, top: float, backward: bool) -> np.ndarray:
    """`new` beginning as loud as `near` ends: the vocoder does not quite keep the level of a spectrogram."""
    if backward:
        return _levelled(new[:, ::-1], near[:, ::-1], rate, top, False)[:, ::-1]
    count = round(LEVEL_SECONDS * rate)
    found, wanted = level_of(heard(new, rate, top)[:, :count]), level_of(heard(near, rate, top)[:, -count:])
    gain = np.clip(wanted / max(found, 1e-9), 1 / MAX_GAIN, MAX_GAIN)
    # Constant over what was compared, then back to 1.
    past = np.maximum(0, np.arange(new.shape[1]) - count) / (SETTLE_SECONDS * rate)
    return new * (1 + (gain - 1) * np.exp(-past)).astype(np.float32)


def _joined(new: np.ndarray, under: np.ndarray, near: np.ndarray, rate: int, backward: bool) -> np.ndarray:
    """`new` and what is under it, without a jump where they meet `near`: they fade in over the input mirrored at its
    last sample."""
    if backward:
        return _joined(new[:, ::-1], under[:, ::-1], near[:, ::-1], rate, False)[:, ::-1]
    joined, length = fade(new, rate, 0.0) + under, near.shape[1]
    count = min(round(JOIN_SECONDS * rate), new.shape[1], length - 1)
    mirrored = np.pad(near, ((0, 0), (0, count)), mode="reflect", reflect_type="odd")[:, length:]
    mirrored = np.clip(mirrored, near.min(axis=1, keepdims=True), near.max(axis=1, keepdims=True))  # or it goes too far
    rise = ((np.arange(count) + 0.5) / max(count, 1)).astype(np.float32)
    joined[:, :count] = joined[:, :count] * rise + mirrored * (1 - rise)
    return joined
