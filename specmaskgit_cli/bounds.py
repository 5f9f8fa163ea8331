"""How large a sound may be: the same for all that is read, made and written, so that no small file takes all memory."""

from __future__ import annotations

from .errors import SmgError, UsageError

MIN_RATE, MAX_RATE = 1000, 768_000  # Hz
MAX_CHANNELS = 32
MAX_SAMPLES = 1 << 29  # of all channels together: 2 GiB, or an hour and a half of stereo at 48 kHz
MAX_TEXT = 2000  # characters of a prompt: an encoder hears the first tokens alone
LOW_RATE = 8000  # Hz; sounds of lower rates are resampled to more samples than they have


def check_format(name: object, rate: int, channels: int) -> None:
    """Raise SmgError for a sound `name` whose rate in Hz or whose number of channels is out of bounds."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise SmgError(f"{name} has a sample rate of {rate} Hz; resample it to one from {MIN_RATE} to {MAX_RATE} Hz")
    if channels > MAX_CHANNELS:
        raise SmgError(f"{name} has {channels} channels; mix it to {MAX_CHANNELS} or fewer")


def longest(rate: int, channels: int, most: int = MAX_SAMPLES, resampled: int = LOW_RATE) -> int:
    """Samples a channel that a sound may have, so that there are no more than `most` in all channels.

    Args:
        resampled: the rate in Hz that it will be brought to; the samples are counted at the higher of both.
    """
    return int(most / channels / max(1.0, resampled / rate))


def check_result(seconds: float, rate: int, channels: int, num: int = 1, most: int = MAX_SAMPLES) -> None:
    """Raise UsageError where `num` sounds of so many seconds, Hz and channels have more than `most` samples in all."""
    if seconds * rate * channels * num > most:
        sounds = f"{num} sounds of {seconds:g} s" if num > 1 else f"a sound of {seconds:g} s"
        each = f"at {rate} Hz in {channels} channel{'s' * (channels > 1)}"
        fix = "make them shorter or fewer" if num > 1 else "make it shorter"
        raise UsageError(f"{sounds} {each} would take more than {most / 1e6:.3g} million samples; {fix}")
