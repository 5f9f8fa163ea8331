"""How loud new sound may be: about as loud as the sound it joins, which is measured where the models hear."""

from __future__ import annotations

import numpy as np

from ..audio.filters import band, lows
from ..audio.gain import held, limited, moving_power
from ..audio.levels import peak_of

SPANS = (0.05, 0.4, 3.0)  # seconds, over each of which new sound is no louder than the loudest of the old
RISE_DB = 1.5  # that it may be all the same
PROMPT_RISE_DB = 6.0  # and where a prompt says what it is, which may be louder than what was there
PEAK_RISE_DB = 3.0  # of single samples, above those
SILENT_DB = -70.0  # sound around a new part that says nothing of the level of what a prompt asks for
DEFAULT_DB = -1.0  # peak of new sound in silence, as that of generated sounds
QUIET_SHARE = 0.1  # of the old sound is softer than the level that new sound has at least
MIN_SECONDS = 0.02  # of sound that say anything of its level
NOTED_DB = 3.0  # by which a part that was turned down is spoken of


def heard(x: np.ndarray, rate: int, top: float) -> np.ndarray:
    """What the models hear of x [channels, n]: neither its offset and rumble, nor what lies above `top` Hz."""
    return band(x - lows(x, rate), rate, None, top if top < rate / 2 else None)


def level_of(x: np.ndarray) -> float:
    """Root mean square of x [channels, n]."""
    return float(np.sqrt(np.mean(np.square(x), dtype=np.float64))) if x.size else 0.0


def fitted(
    new: np.ndarray,
    old: np.ndarray,
    rate: int,
    top: float,
    under: float | np.ndarray = 0.0,
    prompted: bool = False,
    replaced: np.ndarray | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """New sound at a level that the old explains.

    No span of it is louder than the loudest such span of the old by more than 1.5 dB (6 dB where a prompt asked for
    it), no sample by more than 3 dB beyond that; nor is all of it softer than the quiet moments of the old. Nothing
    goes over full scale where the old does not. Sound that a prompt asked for in silence is as loud as a generated
    sound, and in the place of all there was as loud as what it replaces.

    Args:
        new: float32 [channels, n], made by the models: without an offset.
        old: [channels, m], what stays of the sound.
        top: the highest frequency of the models in Hz.
        under: [channels, n], an offset that is to be added to `new` and takes room, too.
        replaced: [channels, n], what `new` takes the place of.

    Returns:
        float32 [channels, n], and a line for the user if it was turned down.
    """
    known = old.shape[1] >= MIN_SECONDS * rate
    if not known and replaced is not None:
        old = replaced
    full, old, first = max(1.0, peak_of(old)), heard(old, rate, top), round(SPANS[0] * rate)
    if prompted and not np.sqrt(_loudest(_power(old), first)) > 10 ** (SILENT_DB / 20):
        peak = peak_of(new)
        return (new * np.float32(10 ** (DEFAULT_DB / 20) / peak) if peak else new), ()
    rise = 10 ** ((PROMPT_RISE_DB if prompted and known else RISE_DB) / 20)
    before, power = _power(old), _power(heard(new, rate, top))
    raised, gain = _raise(power, before, first, known), np.ones(new.shape[1], np.float32)
    new, power = new * np.float32(np.sqrt(raised)), power * raised
    for seconds in SPANS:
        width = min(round(seconds * rate), new.shape[1])
        if width > old.shape[1] and seconds > SPANS[0]:
            break
        most = rise * np.sqrt(_loudest(before, width))
        level = np.sqrt(moving_power(power * np.square(gain), width))
        gain = gain * held(np.minimum(1, most / np.maximum(level, 1e-9)), first // 2)
    room = np.minimum(rise * 10 ** (PEAK_RISE_DB / 20) * peak_of(old), full - np.abs(under))
    made, reduced = limited(new * gain, rate, room)
    down = -20 * np.log10(max(float((gain * reduced).min(initial=1.0)), 1e-3))
    if down < NOTED_DB:
        return made, ()
    return made, (f"what was made was in places up to {down:.0f} dB too loud for the sound; it was turned down there",)


def _raise(new: np.ndarray, old: np.ndarray, width: int, known: bool) -> float:
    """By what the power of new sound is to be raised: 1, unless all of it is softer than the quiet moments of the old,
    or than what it replaces; powers [n] and [m]."""
    least = np.quantile(moving_power(old, width), QUIET_SHARE) if known else _loudest(old, width)
    now = _loudest(new, min(width, len(new)))
    return least / now if 0 < now < least else 1.0


def _loudest(power: np.ndarray, width: int) -> float:
    """The greatest mean of a power [n] over `width` samples; of a shorter sound as if it was silent afterwards."""
    if len(power) < width:
        return float(power.sum() / width)
    return float(moving_power(power, width).max(initial=0.0))


def _power(x: np.ndarray) -> np.ndarray:
    return np.square(x).mean(axis=0, dtype=np.float64)
