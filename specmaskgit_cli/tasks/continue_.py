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
from .regenerate import fresh_cells, regenerate
from .source import Source, excerpt

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
    if draw.condition is None and not near.any():
        where = "begins" if backward else "ends"
        raise UsageError(f"{source.name} {where} in silence; say with a prompt what should be there")
    clip = excerpt(near, source.rate, config)
    exact = max(1, clip.place(length))  # what follows in `clip.wave` is padding
    if draw.condition is None:
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
    new = _placed(new, near, clip.mix, source.rate, backward, draw.rng)
    new = _levelled(brightened(new, source.rate, cfg.f_max, near), near, source.rate, backward)
    new = _joined(new, near, source.rate, backward)
    parts = [new, source.samples] if backward else [source.samples, new]
    return Result(np.concatenate(parts, axis=1), source.rate, np.concatenate(mels[::-1] if backward else mels, axis=1))


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


def _levelled(new: np.ndarray, near: np.ndarray, rate: int, backward: bool) -> np.ndarray:
    """`new` beginning as loud as `near` ends: the vocoder does not quite keep the level of a spectrogram."""
    if backward:
        return _levelled(new[:, ::-1], near[:, ::-1], rate, False)[:, ::-1]
    count = round(LEVEL_SECONDS * rate)
    found, wanted = (
        float(np.sqrt(np.mean(np.square(x), dtype=np.float64))) for x in (new[:, :count], near[:, -count:])
    )
    gain = np.clip(wanted / max(found, 1e-9), 1 / MAX_GAIN, MAX_GAIN)
    # Constant over what was compared, then back to 1.
    past = np.maximum(0, np.arange(new.shape[1]) - count) / (SETTLE_SECONDS * rate)
    return new * (1 + (gain - 1) * np.exp(-past)).astype(np.float32)


def _joined(new: np.ndarray, near: np.ndarray, rate: int, backward: bool) -> np.ndarray:
    """`new` without a jump where it meets `near`: it fades in over the input mirrored at its last sample."""
    if backward:
        return _joined(new[:, ::-1], near[:, ::-1], rate, False)[:, ::-1]
    length = near.shape[1]
    count = min(round(JOIN_SECONDS * rate), new.shape[1], length - 1)
    mirrored = np.pad(near, ((0, 0), (0, count)), mode="reflect", reflect_type="odd")[:, length:]
    rise = ((np.arange(count) + 0.5) / max(count, 1)).astype(np.float32)
    joined = new.copy()
    joined[:, :count] = new[:, :count] * rise + mirrored * (1 - rise)
    return fade(joined, rate, 0.0)
