"""From the sound that a task made to the one that is stored: trimmed, mixed, resampled, at the level asked for."""

from __future__ import annotations

import numpy as np

from ..audio.files import at_rate, to_mono
from ..audio.levels import limit_peak, normalize_peak, peak_of, trim_silence
from ..bounds import check_result
from ..options import OutputOptions


def finish(
    samples: np.ndarray,
    rate: int,
    output: OutputOptions,
    *,
    gain: float | None = None,
    loop: bool = False,
    unlimited: bool = False,
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Apply the options of the output; without any, the samples stay as they are.

    Args:
        samples: float32 [channels, n].
        gain: by what a generated sound was scaled to its peak of -1 dBFS; None for an edit, which keeps its level.
        loop: the end runs into the beginning, and has to after resampling too.
        unlimited: samples beyond [-1, 1] can be stored.

    Returns:
        Samples, their rate, and warnings, a line each.

    Raises:
        UsageError: it would be larger than `bounds` allow.
    """
    check_result(samples.shape[1] / rate, output.rate or rate, output.channels or len(samples))
    made, warnings = samples, []
    if gain is not None and not output.normalize:
        made = made / np.float32(gain)
    if output.trim:
        made = trim_silence(made, rate)
    if output.channels is not None:
        made = _with_channels(made, output.channels)
    if output.rate is not None:
        made, rate = at_rate(made, rate, output.rate, loop), output.rate
    if output.lufs is not None:
        from ..audio.loudness import MAX_LIMIT_DB, to_loudness

        made, reached = to_loudness(made, rate, output.lufs, loop)
        if not np.isfinite(reached):
            warnings.append("the sound is silent, so that it has no loudness to set")
        elif reached < output.lufs - 0.1:
            warnings.append(
                f"{reached:.1f} LUFS instead of {output.lufs:g}: for more, peaks would have to be lowered by over "
                f"{MAX_LIMIT_DB:g} dB"
            )
    elif gain is not None and output.normalize and made is not samples:
        made = normalize_peak(made)
    peak = peak_of(made)
    if peak > 1 and not unlimited:
        over = f"its peak lies {20 * np.log10(peak):.1f} dB over full scale"
        if gain is None and made is samples:  # an edit changes no sample that it was not asked to
            warnings.append(f"{over}, and is clipped; give --bits 32f with .wav to keep it")
        else:
            made = limit_peak(made, 0.0)
            warnings.append(f"{over}; all of the sound was lowered by that much")
    return made, rate, tuple(warnings)


def _with_channels(x: np.ndarray, count: int) -> np.ndarray:
    """Those that it has, where they are so many; or else the mix of them, so many times."""
    return x if len(x) == count else np.tile(to_mono(x), (count, 1))
