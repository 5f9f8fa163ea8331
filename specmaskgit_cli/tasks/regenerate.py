"""The one primitive of all edits: make some cells of a spectrogram anew, to fit the rest and to join it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..conditioning.bank import Manner
from ..config.settings import MelConfig
from ..decoding.settings import DecodeSettings
from ..options import SamplingOptions
from ..spectrogram.blur import blur
from ..spectrogram.griffin_lim import Known
from ..spectrogram.mel import log_mel, mel_filterbank
from ..synthesis.render import mel_to_waveform, tokens_to_mel

if TYPE_CHECKING:
    from ..pipeline import Pipeline, Progress

BLUR_FRAMES = 12.0  # standard deviations of the weights of the cells around one, in the level there
BLUR_BANDS = 3.0
MAX_CORRECTION = 2.0  # nats
SETTLE_FRAMES = 20
MAX_RISE = 0.35  # nats, above what came before, up to a sound that follows
# Nats a band by which the guess at a missing high end falls. The mean of 200 sounds above 3.6 kHz is 0.07; 0.04 came
# nearest to 64 others. The slope of a sound's lower bands says next to nothing about it.
TILT = 0.055
KNOWN_BAND = 0.5  # a band says something of the style if known for this share of the frames that are known at all
STEADY_FRAMES = 5  # over which the level it goes by is averaged: the texture below is not that above


@dataclass
class Request:
    """How the new cells of one sound are drawn: `condition` and `negative` float32 [1, D], `style` [1, style_dims].

    The contour is always that of what stays."""

    pipe: Pipeline
    settings: DecodeSettings
    rng: np.random.Generator
    condition: np.ndarray | None = None  # None: embedding and style of what stays
    style: np.ndarray | None = None
    negative: np.ndarray | None = None
    progress: Progress | None = None

    @classmethod
    def of(
        cls, pipe: Pipeline, options: SamplingOptions, seed: int, progress: Progress | None = None, wish=None
    ) -> Request:
        """As the options of a task say; `wish`: embedding and style of a sound to generate."""
        embed, rng = pipe.runtime.embed_text, np.random.default_rng(seed)
        made = cls(pipe, options.decode_settings, rng, progress=progress)
        if wish:
            made.condition, made.style = wish
        elif options.prompt:
            made.condition = embed([options.prompt])
            made.style = pipe.conditions.drawn(made.condition, rng, 1).style
        if options.negative:
            made.negative = embed([options.negative])
        return made

    def hear(self, mel: np.ndarray) -> None:
        """Go by a sound's embedding and style: its natural-log mel is [n_mels, frames]."""
        self.condition, self.style = self.pipe.runtime.embed_audio(mel[None]), self.pipe.conditions.style_of(mel)

    def part(self, index: int, count: int) -> Request:
        """The same for step `index` of `count`, whose progress is that share of the whole; the generator is shared."""
        inner = self.progress and (lambda done, total: self.progress(index * total + done, count * total))
        return replace(self, progress=inner)


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
    request: Request,
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
    cfg = request.pipe.config.mel
    mel = regenerate_mel(request, log_mel(wave, cfg), fresh, trust, least)
    return mel_to_waveform(request.pipe.runtime, mel, request.rng, Known(wave, fresh, free))


def regenerate_mel(
    request: Request, mel: np.ndarray, fresh: np.ndarray, trust: float | np.ndarray = 1.0, least: float = 0.0
) -> np.ndarray:
    """Natural-log mel [n_mels, frames] with its fresh cells drawn anew; frames a multiple of the patch.

    Args:
        trust: share of what is drawn in the level of the new cells, of all or of each; the rest is that of `guess`.
            Their texture, what is left of them when smoothed, is always what is drawn: the mean of two has half of it.
        least: patches of which no more than this share is fresh keep the tokens of the guess.
    """
    if not fresh.any():
        return mel
    pipe, known = request.pipe, ~fresh
    patch = pipe.config.tokenizer.patch_frames
    rows, columns = mel.shape[0] // patch, mel.shape[1] // patch
    # A patch is drawn as a whole or not at all.
    mask = fresh.reshape(rows, patch, columns, patch).mean(axis=(1, 3)) > least
    made = guess(mel, fresh)
    condition, style = request.condition, request.style
    if condition is None:
        heard = known.any(axis=0) if not known.any(axis=0).all() else slice(None)
        stays = _at_least(made[:, heard] if known.any() else made, patch)
        bands = known.mean(axis=1) > KNOWN_BAND * known.any(axis=0).mean()
        condition, style = pipe.runtime.embed_audio(stays[None]), pipe.conditions.style_of(stays, bands)
    manner = Manner(style, pipe.conditions.contour_of(made, known))
    tokens = pipe.runtime.encode(made[None])[0]
    tokens = pipe.fill(
        tokens, mask, condition, request.negative, request.settings, request.rng,
        pipe.count(request.progress, columns), manner,
    )  # fmt: skip
    drawn = tokens_to_mel(pipe.runtime, tokens, request.rng)
    drawn += correction(mel - drawn, known)
    if np.min(trust) < 1:
        drawn += np.subtract(1, trust, dtype=np.float32) * _level(made - drawn, fresh)
    return settle(np.where(fresh, drawn, mel), fresh)


def correction(difference: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What to add to drawn cells so that they meet the known ones: the mean of original minus drawn over the known
    cells around, weighted by a Gaussian of their distance; float32 [n_mels, frames], clipped to 2 nats."""
    return _level(np.clip(difference, -MAX_CORRECTION, MAX_CORRECTION), known)


def _level(difference: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The mean of some cells around each, weighted by a Gaussian of their distance: float32 [n_mels, frames]."""
    weight = _around(cells.astype(np.float64))
    total = _around(np.where(cells, difference, 0.0))
    # Far from all of them the weights vanish, and the mean with them.
    return (total / (weight + 1e-6)).astype(np.float32)


def settle(mel: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Take steps in level out of the borders of spans that are fresh in all bands.

    After known sound, the new is raised or lowered to go on as loud as it was; before known sound it is lowered, but
    hardly raised above what came before it, as sounds begin suddenly and end slowly. The change dies away within half
    a second, and by the other border of the span, which has its own.
    """
    new = fresh.all(axis=0)
    level = 0.5 * np.log(np.exp(2.0 * mel).sum(axis=0))
    change = np.zeros(len(level), np.float32)
    edges = np.flatnonzero(np.diff(new.astype(np.int8)))
    for edge in edges:
        forward = bool(new[edge + 1])
        inside = np.arange(edge + 1, len(level)) if forward else np.arange(edge, -1, -1)
        inside = inside[: int(np.argmin(new[inside])) or len(inside)]
        outside = np.arange(edge, -1, -1) if forward else np.arange(edge + 1, len(level))
        outside = outside[: int(np.argmax(new[outside])) or len(outside)][:SETTLE_FRAMES]
        own = _mean_level(level[inside[:SETTLE_FRAMES]])
        limit = MAX_CORRECTION
        if not forward:
            before = level[max(0, inside[-1] - SETTLE_FRAMES) : inside[-1]]
            limit = MAX_RISE + max(0.0, _mean_level(before) - own if len(before) else 0.0)
        step = np.clip(_mean_level(level[outside]) - own, -MAX_CORRECTION, min(limit, MAX_CORRECTION))
        fall = np.exp(-np.arange(len(inside)) / (2 * SETTLE_FRAMES))
        if 0 < inside[-1] < len(level) - 1:  # known sound at the other end too: the changes cross over
            fall *= np.linspace(1, 0, len(inside)) if len(inside) > 1 else 0.5
        change[inside] += step * fall
    return mel + np.where(fresh & new, change, 0)


def guess(mel: np.ndarray, fresh: np.ndarray) -> np.ndarray:
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
    for band in missing:
        nearest = min(present, key=lambda other: abs(other - band))
        around = [other for other in present if abs(other - nearest) < 4]
        level = np.pad(filled[around].mean(axis=0), STEADY_FRAMES // 2, mode="edge")
        level = np.convolve(level, np.full(STEADY_FRAMES, 1 / STEADY_FRAMES), mode="valid")
        filled[band] = level - TILT * max(0, band - nearest)
    return filled


def _mean_level(level: np.ndarray) -> float:
    return float(0.5 * np.log(np.mean(np.exp(2.0 * level))))


def _around(values: np.ndarray) -> np.ndarray:
    return blur(blur(values, BLUR_BANDS, 0), BLUR_FRAMES, 1)


def _at_least(mel: np.ndarray, frames: int) -> np.ndarray:
    return np.pad(mel, ((0, 0), (0, max(0, frames - mel.shape[1]))), mode="edge")
