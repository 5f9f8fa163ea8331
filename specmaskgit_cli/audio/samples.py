"""The samples of a sound file: counted while they are decoded, as a few bytes can hold hours of silence."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..bounds import LOW_RATE, MAX_SAMPLES, check_format, longest
from ..errors import SmgError
from .damage import Finished, share_there, unfinished_wav
from .foreign import HEAD_BYTES, advice, kind_of
from .magic import is_decoded
from .metadata import native_name

if TYPE_CHECKING:
    import soundfile

WHOLE = 0.995  # of what a header promises: some count a little more than they write
LOUDEST = 1e12  # of samples that are read: squares and spectra of larger ones overflow
_BLOCK = 1 << 16  # samples a channel


@dataclass(frozen=True)
class Audio:
    """A decoded sound file: float32 samples [channels, n], rate in Hz, libsndfile's subtype and format names, and
    warnings about the file, a line each."""

    samples: np.ndarray
    rate: int
    subtype: str
    format: str
    notes: tuple[str, ...] = ()


def read_samples(
    file: soundfile.SoundFile, name: object, most: int = MAX_SAMPLES, resampled: int = LOW_RATE
) -> np.ndarray:
    """All samples of an open file, float32 [channels, n]; interleaved in memory, as libsndfile decodes them.

    Args:
        name: of the file, for messages.
        most: samples of all channels that it may have.
        resampled: the rate in Hz that they will be brought to, at which they are counted if it is higher.

    Raises:
        SmgError: a rate or a number of channels out of bounds; too many samples, none, or samples that are infinite,
            not a number, or beyond LOUDEST.
        soundfile.LibsndfileError: the file is damaged.
    """
    rate, channels = file.samplerate, file.channels
    check_format(name, rate, channels)
    limit = longest(rate, channels, most, resampled)
    # Not by the length that the header tells: it may promise more samples than the file or the memory holds. And in an
    # array that grows in place, as putting blocks together would take the memory twice.
    samples, count = np.empty((_BLOCK, channels), np.float32), 0
    while True:
        if count + _BLOCK > len(samples):
            samples.resize((len(samples) * 5 // 4 + _BLOCK, channels), refcheck=False)
        block = file.read(out=samples[count : count + _BLOCK])
        if not len(block):
            break
        count += len(block)
        if count > limit:
            raise SmgError(f"{name} is longer than {limit / rate:.0f} s, the most for its rate and channels; cut it")
        low, high = float(block.min()), float(block.max())
        if not np.isfinite(low + high):  # a NaN is both the lowest and the highest
            raise SmgError(f"{name} holds samples that are infinite or not a number; export it again")
        if max(high, -low) > LOUDEST:
            raise SmgError(f"{name} holds samples beyond {LOUDEST:g} times full scale; export it again")
        del block  # or it would look into memory that the next growth gives back
    if not count:
        raise SmgError(f"{name} holds no samples; name a file with sound in it")
    samples.resize((count, channels), refcheck=False)
    return samples.T


def decode_file(
    file: BinaryIO,
    name: object,
    most: int = MAX_SAMPLES,
    resampled: int = LOW_RATE,
    path: str | os.PathLike | None = None,
) -> Audio:
    """A whole sound file that is open; `name`, `most` and `resampled` as above.

    Args:
        path: where it lies, if it does not lie in memory, as libsndfile itself reads fastest.

    Raises:
        SmgError: as `read_samples` does, and for what is no sound file, or is damaged.
    """
    import soundfile

    head, known = file.read(HEAD_BYTES), is_decoded(file)
    if not known:
        raise _no_sound(name, name if path is None else path, head)
    share, start = share_there(file), unfinished_wav(file)
    file.seek(0)
    notes: tuple[str, ...] = ()
    if start is not None:
        notes = (f"{name} was not finished by what recorded it; it is read up to the end of the file",)
    elif share is not None and share < WHOLE:
        there = f"{share:.0%} of it is there" if share else "the end of it is missing"
        notes = (f"{name} is cut short: {there}",)
    source = Finished(file, start) if start is not None else file if path is None else native_name(path)
    try:
        with soundfile.SoundFile(source) as sound:
            samples = read_samples(sound, name, most, resampled)
            return Audio(samples, sound.samplerate, sound.subtype, sound.format, notes)
    except (soundfile.SoundFileError, OSError, TypeError):  # TypeError: whatever is called .raw
        raise _no_sound(name, name if path is None else path, head) from None


def _no_sound(name: object, path: object, head: bytes) -> SmgError:
    if kind := kind_of(path, head):
        return SmgError(f"{name} {advice(kind)}")
    return SmgError(f"{name}: not a sound file, or damaged; convert it to WAV, FLAC, OGG or MP3")


def decode(audio: bytes | str | os.PathLike, resampled: int, name: object = "the clip") -> tuple[np.ndarray, int]:
    """A sound file that is in memory, or at a path: float32 [channels, n] and its rate; `resampled` as above.

    Raises:
        SmgError: as `decode_file` does, and for a file that cannot be read.
    """
    try:
        with io.BytesIO(audio) if isinstance(audio, bytes) else open(audio, "rb") as file:
            found = decode_file(file, name, resampled=resampled, path=None if isinstance(audio, bytes) else audio)
    except OSError as error:
        raise SmgError(f"{name} cannot be read: {error.strerror}") from None
    return found.samples, found.rate
