"""The one primitive of all edits: make some cells of a spectrogram anew, to fit the rest and to join it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..conditioning.condition import Condition
from ..config.settings import MelConfig
from ..spectrogram.blur import blur
from ..spectrogram.griffin_lim import Known
from ..spectrogram.mel import log_mel, mel_filterbank
from ..synthesis.engine import Draw, Engine
from ..synthesis.render import tokens_to_mel

# Standard deviations of the weights of the cells around one, in the level there.
BLUR_SECONDS = 0.14
BLUR_OCTAVES = 0.166
MAX_CORRECTION = 2.0  # nats
SETTLE_SECONDS = 0.232  # of the level on both sides of a border
MAX_RISE = 0.35  # nats, above what came before, up to a sound that follows
# Nats an octave by which the guess at a missing high end falls. The mean of 200 sounds above 3.6 kHz is 1.26; 0.72 came
# nearest to 64 others. The slope of a sound's lower bands says next to nothing about it.
TILT = 0.993
KNOWN_BAND = 0.5  # a band says something of the style if known for this share of the frames that are known at all
# The level that the guess continues is averaged, as the texture below is not the texture above.
STEADY_SECONDS = 0.023  # to both sides
STEADY_OCTAVES = 0.22  # of the bands nearer than this


def fresh_cells(shape: tuple[int, int], start: int, stop: int, low: float | None, high: float | None, cfg: MelConfig):
    """The cells, bool [n_mels, frames], that samples start to stop and frequencies low to high (Hz) have a part in."""
    fresh = np.zeros(shape, bool)
    margin = (cfg.n_fft - cfg.hop_length) // 2  # of a frame's window on both sides of its own samples
    frames = slice(
        max(0, -(-(start - margin - cfg.hop_length + 1) // cfg.hop_length)), -(-(stop + margin) // cfg.hop_length)
    )
    hz = np.arange(cfg.n_fft // 2 + 1) * cfg.sample_rate / cfg.n_fft
    inside = (hz >= (low or 0)) & (hz <= (np.inf if high is None else high))
    covered = mel_filterbank(cfg)[:, inside].any(axis=1)
    if low is None:
        covered[: int(np.argmax(covered))] = True  # bands too narrow to hold a bin
    fresh[covered, frames] = True
    return fresh


def regenerate(
    engine: Engine,
    draw: Draw,
    wave: np.ndarray,
    fresh: np.ndarray,
    free: np.ndarray,
    trust: float | np.ndarray = 1.0,
    least: float = 0.0,
) -> np.ndarray:
    """Make cells of a sound's spectrogram anew.

    The known cells are tokenised, those that are fresh decoded by the masked core in the light of the known ones;
    level and tilt of the new cells are corrected by what the tokenizer does to the known ones near them; and the
    waveform is found in phase with the known part, so that it can be spliced in.

    Args:
        wave: float32 [n] at the model's rate and level; n a multiple of the samples of a token column.
        fresh: bool [n_mels, n / hop_length], see `fresh_cells`.
        free: bool [n], the samples that may change.
        trust, least: see `regenerate_mel`.

    Returns:
        float32 [n], equal to `wave` where not free.
    """
    mel = regenerate_mel(engine, draw, log_mel(wave, engine.config.mel), fresh, trust, least)
    return engine.vocode(mel, draw.rng, Known(wave, fresh, free))


def regenerate_mel(
    engine: Engine, draw: Draw, mel: np.ndarray, fresh: np.ndarray, trust: float | np.ndarray = 1.0, least: float = 0.0
) -> np.ndarray:
    """Natural-log mel [n_mels, frames] with its fresh cells drawn anew; frames a multiple of the patch.

    Args:
        trust: share of what is drawn in the level of the new cells, of all or of each; the rest is that of `guess`.
            Their texture, what is left of them when smoothed, is always what is drawn: the mean of two has half of it.
        least: patches of which no more than this share is fresh keep the tokens of the guess.
    """
    if not fresh.any():
        return mel
    known, cfg, tokenizer = ~fresh, engine.config.mel, engine.config.tokenizer
    bands, frames = tokenizer.patch_bands, tokenizer.patch_frames
    rows, columns = mel.shape[0] // bands, mel.shape[1] // frames
    # A patch is drawn as a whole or not at all.
    mask = fresh.reshape(rows, bands, columns, frames).mean(axis=(1, 3)) > least
    guessed = guess(mel, fresh, cfg)
    condition = draw.condition or _of_what_stays(engine, guessed, known)
    condition = replace(condition, contour=engine.prompts.contour_of(guessed, known))
    tokens = engine.runtime.encode(guessed[None])[0]
    tokens = engine.fill(tokens, mask, replace(draw, condition=condition))
    drawn = tokens_to_mel(engine.runtime, tokens, draw.rng)
    drawn += correction(mel - drawn, known, cfg)
    if np.min(trust) < 1:
        drawn += np.subtract(1, trust, dtype=np.float32) * _level(guessed - drawn, fresh, cfg)
    return settle(np.where(fresh, drawn, mel), fresh, cfg)


def _of_what_stays(engine: Engine, guessed: np.ndarray, known: np.ndarray) -> Condition:
    """Embedding and style of the known cells of a mel [n_mels, frames], whose other cells are guessed."""
    frames = known.any(axis=0) if not known.any(axis=0).all() else slice(None)
    stays = guessed[:, frames] if known.any() else guessed
    missing = max(0, engine.config.tokenizer.patch_frames - stays.shape[1])
    stays = np.pad(stays, ((0, 0), (0, missing)), mode="edge")
    bands = known.mean(axis=1) > KNOWN_BAND * known.any(axis=0).mean()
    return engine.prompts.of_mel(stays, bands)


def correction(difference: np.ndarray, known: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """What to add to drawn cells so that they meet the known ones: the mean of original minus drawn over the known
    cells around, weighted by a Gaussian of their distance; float32 [n_mels, frames], clipped to 2 nats."""
    return _level(np.clip(difference, -MAX_CORRECTION, MAX_CORRECTION), known, cfg)


def _level(difference: np.ndarray, cells: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """The mean of some cells around each, weighted by a Gaussian of their distance: float32 [n_mels, frames]."""
    weight = _around(cells.astype(np.float64), cfg)
    total = _around(np.where(cells, difference, 0.0), cfg)
    # Far from all of them the weights vanish, and the mean with them.
    return (total / (weight + 1e-6)).astype(np.float32)


def settle(mel: np.ndarray, fresh: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Take steps in level out of the borders of spans that are fresh in all bands.

    After known sound, the new is raised or lowered to go on as loud as it was; before known sound it is lowered, but
    hardly raised above what came before it, as sounds begin suddenly and end slowly. The change dies away within half
    a second, and by the other border of the span, which has its own.
    """
    new, span = fresh.all(axis=0), cfg.frames(SETTLE_SECONDS)
    level = 0.5 * np.log(np.exp(2.0 * mel).sum(axis=0))
    change = np.zeros(len(level), np.float32)
    edges = np.flatnonzero(np.diff(new.astype(np.int8)))
    for edge in edges:
        forward = bool(new[edge + 1])
        inside = np.arange(edge + 1, len(level)) if forward else np.arange(edge, -1, -1)
        inside = inside[: int(np.argmin(new[inside])) or len(inside)]
        outside = np.arange(edge, -1, -1) if forward else np.arange(edge + 1, len(level))
        outside = outside[: int(np.argmax(new[outside])) or len(outside)][:span]
        own = _mean_level(level[inside[:span]])
        limit = MAX_CORRECTION
        if not forward:
            before = level[max(0, inside[-1] - span) : inside[-1]]
            limit = MAX_RISE + max(0.0, _mean_level(before) - own if len(before) else 0.0)
        step = np.clip(_mean_level(level[outside]) - own, -MAX_CORRECTION, min(limit, MAX_CORRECTION))
        fall = np.exp(-np.arange(len(inside)) / (2 * span))
        if 0 < inside[-1] < len(level) - 1:  # known sound at the other end too: the changes cross over
            fall *= np.linspace(1, 0, len(inside)) if len(inside) > 1 else 0.5
        change[inside] += step * fall
    return mel + np.where(fresh & new, change, 0)


def guess(mel: np.ndarray, fresh: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Fill fresh cells smoothly: each band in time between the known frames, bands never known by those below.

    The tokenizer sees patches in context: next to silence, the known patches would read as sounds that end there.
    """
    filled = np.array(mel, np.float32)
    frames = np.arange(mel.shape[1])
    missing = []
    for band, (values, new) in enumerate(zip(filled, fresh, strict=True)):
        if new.all():
            missing.append(band)
        elif new.any():
            values[new] = np.interp(frames[new], frames[~new], values[~new])
    present = [band for band in range(len(mel)) if band not in missing]
    if not present:
        return filled
    side, near = cfg.frames(STEADY_SECONDS), cfg.bands(STEADY_OCTAVES)
    tilt = round(TILT * cfg.octaves_per_band, 3)  # nats a band
    for band in missing:
        nearest = min(present, key=lambda other: abs(other - band))
        around = [other for other in present if abs(other - nearest) < near]
        level = np.pad(filled[around].mean(axis=0), side, mode="edge")
        level = np.convolve(level, np.full(2 * side + 1, 1 / (2 * side + 1)), mode="valid")
        filled[band] = level - tilt * max(0, band - nearest)
    return filled


def _mean_level(level: np.ndarray) -> float:
    return float(0.5 * np.log(np.mean(np.exp(2.0 * level))))


def _around(values: np.ndarray, cfg: MelConfig) -> np.ndarray:
    return blur(blur(values, cfg.bands(BLUR_OCTAVES), 0), cfg.frames(BLUR_SECONDS), 1)
