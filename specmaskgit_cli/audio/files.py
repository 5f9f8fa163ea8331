"""Sound files: reading, resampling, and writing that leaves either a complete file or none."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..bounds import LOW_RATE, MAX_SAMPLES
from ..durable import keep_rights, put
from ..errors import SmgError, UsageError
from .encoding import BITS, FORMATS, RATES, encoded
from .inputs import stored
from .metadata import check_tags, native_name
from .samples import Audio, decode_file
from .tags import Extras

_WRAP_SECONDS = 0.1  # of a loop, heard before and after it where it is resampled


def read_audio(path: str | os.PathLike, most: int = MAX_SAMPLES, resampled: int = LOW_RATE) -> Audio:
    """Read a whole sound file of any kind that libsndfile knows; `most` and `resampled` as in `read_samples`.

    "-" is standard input; it and pipes are read once and kept, so that they can be read again.

    Raises:
        SmgError: the file is missing, a directory, unreadable, empty, not audio, or out of bounds in its rate, its
            channels, its length or its samples, as `read_samples` says.
    """
    try:
        with stored(path).open("rb") as file:
            if not file.read(1):
                raise SmgError(f"{path} is empty (0 bytes); name a sound file")
            file.seek(0)
            return decode_file(file, path, most, resampled, stored(path))
    except FileNotFoundError:
        raise SmgError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise SmgError(f"{path} is a directory; name a sound file in it") from None
    except OSError as error:
        raise SmgError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SmgError(f"{str(path)!r} cannot be the name of a file: {error}") from None


def read_exactly(path: str | os.PathLike, samples: np.ndarray) -> np.ndarray:
    """The samples [channels, n] that `read_audio` has read of a file, as float64, which holds 32-bit ones whole."""
    import soundfile

    try:
        exact, _ = soundfile.read(native_name(stored(path)), dtype="float64", always_2d=True)
    except soundfile.SoundFileError:  # a file that was not finished, and needs its header mended
        return samples.astype(np.float64)
    return exact.T if exact.T.shape == samples.shape else samples.astype(np.float64)


def read_mono(path: str | os.PathLike, rate: int) -> np.ndarray:
    """The mean of a file's channels at `rate` Hz, float32 [n]. Raises SmgError as read_audio does."""
    audio = read_audio(path, resampled=rate)
    return resample(to_mono(audio.samples), audio.rate, rate)


def to_mono(samples: np.ndarray) -> np.ndarray:
    """[channels, n] or [n] to the mean of the channels, float32 [n]."""
    samples = np.asarray(samples, np.float32)
    return samples if samples.ndim == 1 else samples.mean(axis=0, dtype=np.float32)


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate of x [n] or [channels, n] with soxr's high quality; float32, about n * to / from long."""
    x = np.asarray(x, np.float32)
    if from_rate == to_rate or not x.size:
        return x
    import soxr

    return soxr.resample(x.T, from_rate, to_rate, quality="HQ").T


def at_rate(x: np.ndarray, rate: int, wanted: int, loop: bool) -> np.ndarray:
    """x [n] or [channels, n] resampled to the length that is nearest; a loop as if it went on before and after."""
    if rate == wanted:
        return x
    size = x.shape[-1]
    length = round(size * wanted / rate)
    lead = min(size, round(_WRAP_SECONDS * rate)) if loop else 0
    around = np.concatenate([x[..., size - lead :], x, x[..., :lead]], axis=-1) if loop else x
    made = resample(around, rate, wanted)[..., round(lead * wanted / rate) :][..., :length]
    missing = length - made.shape[-1]
    return np.pad(made, [*[(0, 0)] * (made.ndim - 1), (0, missing)]) if missing > 0 else made


def same_samples(name: str | os.PathLike, other: str | os.PathLike) -> bool | None:
    """Whether two files hold the same samples; None where they are encoded in different ways, or one is "-"."""
    if _is_stdout(name) or _is_stdout(other):
        return None
    a, b = read_audio(name), read_audio(other)
    if (a.format, a.subtype) != (b.format, b.subtype):  # WAV and FLAC do not even round alike
        return None
    return a.rate == b.rate and np.array_equal(a.samples, b.samples)


def write_audio(
    target: str | os.PathLike,
    waveform: np.ndarray,
    rate: int,
    *,
    format: str | None = None,
    subtype: str | None = None,
    metadata: dict[str, str] | None = None,
    extras: Extras | None = None,
    loop: bool = False,
) -> None:
    """Write a sound file, complete or not at all; samples beyond [-1, 1] are clipped, unless stored as floats.

    Args:
        target: a path, or "-" for standard output (WAV unless `format` says otherwise).
        waveform: [n] or [channels, n].
        format: a key of FORMATS; by default the extension of `target`.
        subtype: libsndfile's name, such as "PCM_24"; by default that of FORMATS.
        metadata: keys from `metadata.KEYS`, of at most MAX_BYTES in all. Those that the format cannot store are left
            out.
        extras: tags and pictures of a file that was edited, kept as far as the format can.
        loop: the end runs into the beginning, and does so in the file too, as far as its format can; it says so where
            its format can.

    Raises:
        SmgError: unknown extension or format, a subtype the format lacks, no samples, samples that are not finite,
            or a target that cannot be written.
    """
    check_output(target, format=format)
    name = format_name(target, format)
    data = audio_bytes(target, waveform, rate, name, subtype=subtype, metadata=metadata, extras=extras, loop=loop)
    if _is_stdout(target):
        _to_stdout(data)
    else:
        with atomic_path(target) as temporary:
            temporary.write_bytes(data)


def audio_bytes(
    name: object,
    waveform: np.ndarray,
    rate: int,
    format: str,
    *,
    subtype: str | None = None,
    metadata: dict[str, str] | None = None,
    extras: Extras | None = None,
    loop: bool = False,
) -> memoryview:
    """The bytes of a sound file; `name`: what messages call it, all else as in `write_audio`.

    Raises:
        SmgError: a subtype the format lacks, no samples, or samples that are not finite.
    """
    import soundfile

    kind, default_subtype = FORMATS[format]
    subtype = (subtype or default_subtype).upper()
    if not soundfile.check_format(kind, subtype):
        known = ", ".join(soundfile.available_subtypes(kind))
        raise SmgError(f"{kind} cannot store {subtype}; use one of {known}")
    check_tags(metadata or {})
    waveform = np.asarray(waveform)
    if waveform.dtype != np.float64:  # which the samples of an edited file may need
        waveform = waveform.astype(np.float32, copy=False)
    if not np.isfinite(waveform).all():
        raise SmgError("the sound holds samples that are infinite or not a number; nothing was written")
    if not waveform.size:
        raise SmgError(f"cannot write {name}: the sound is empty; ask for a longer one")
    rates = RATES.get(subtype, (rate,))
    nearest = next((r for r in rates if r >= rate), rates[-1])
    made = waveform
    if nearest != rate:
        made = at_rate(waveform, rate, nearest, True) if loop else resample(waveform, rate, nearest)
    return memoryview(encoded(made, nearest, kind, subtype, metadata, extras, loop))


def lossless_subtype(format: str, subtype: str | None, bits: str | None = None) -> str | None:
    """How to store samples in a format, a key of FORMATS: as `bits` says, or else in `subtype` if that is uncompressed
    and the format can; None: the format's default."""
    import soundfile

    kind = FORMATS[format][0]
    if bits is not None:
        return BITS[bits]
    plain = subtype is not None and (subtype.startswith("PCM_") or subtype in ("FLOAT", "DOUBLE"))
    return subtype if plain and soundfile.check_format(kind, subtype) else None


def format_name(target: str | os.PathLike, format: str | None = None) -> str:
    """The key of FORMATS that is named, or that the extension of `target` says. Raises SmgError for any other."""
    known = ", ".join(FORMATS)
    if format is not None:
        if format.lower() not in FORMATS:
            raise SmgError(f"unknown format {format!r}; use one of {known}")
        return format.lower()
    if _is_stdout(target):
        return "wav"
    extension = Path(target).suffix[1:].lower()
    if extension not in FORMATS:
        raise SmgError(f"{target}: unknown extension {extension!r}; end the name in one of {known}")
    return extension


def check_output(
    target: str | os.PathLike, *, format: str | None = None, bits: str | None = None, rate: int | None = None
) -> None:
    """Check before the work whether a sound can be written to `target`, a path or "-", with such bits and rate.

    Raises:
        SmgError: unknown extension or format, one that has no such bits or rate, a target that check_writable refuses,
            or a terminal as standard output.
    """
    check_stored(format_name(target, format), bits, rate)
    if not _is_stdout(target):
        check_writable(target)
    elif getattr(sys.stdout, "name", None) == os.devnull:  # put there by the command line
        raise SmgError("standard output is closed; name a file instead of -")
    elif sys.stdout.isatty():
        raise SmgError("standard output is a terminal; redirect it (> out.wav) or name a file instead of -")


def check_stored(format: str, bits: str | None = None, rate: int | None = None) -> None:
    """Raise UsageError where a format, a key of FORMATS, has no such bits, or cannot store such a rate."""
    kind, codec = FORMATS[format]
    if bits is not None:
        import soundfile

        if not soundfile.check_format(kind, BITS[bits]):
            able = [b for b in BITS if soundfile.check_format(kind, BITS[b])]
            fix = f"use {', '.join(able)}" if able else "leave bits out"
            raise UsageError(f"bits is {bits!r}, and {format} has no such samples; {fix}")
    if rate is not None and rate not in (known := RATES.get(codec, (rate,))):
        raise UsageError(f"rate is {rate}, which {format} cannot store; use {', '.join(map(str, known))}")


def check_writable(path: str | os.PathLike) -> None:
    """Raise SmgError unless `path` can be made, or is a regular file that can be replaced."""
    path = Path(path)
    if "\0" in str(path):
        raise SmgError(f"{str(path)!r} cannot be the name of a file: it has a zero byte")
    parent = path.resolve().parent
    if path.is_dir():
        raise SmgError(f"{path} is a directory; name a file in it")
    if not parent.exists():
        raise SmgError(f"{path}: the directory {parent} does not exist; make it first")
    if not parent.is_dir():
        raise SmgError(f"{path}: {parent} is not a directory; choose another place")
    if path.exists() and not path.is_file():
        raise SmgError(f"{path} is not a regular file; choose another name")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise SmgError(f"{path}: no permission to write in {parent}; choose another directory")
    if path.exists() and not os.access(path, os.W_OK):
        raise SmgError(f"{path} is write-protected; choose another name")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it takes the place of `path` if the block ends well.

    A file that was there hands on its mode and its owner.

    Whatever ends the block otherwise, an interrupt too, the temporary file is removed and `path` is as it was.

    Raises:
        SmgError: `path` cannot be written; also made from any OSError in the block.
    """
    check_writable(path)
    final = Path(path).resolve()  # a symbolic link stays one: what it points at is replaced
    temporary = final.with_name(f".smg-{secrets.token_hex(6)}.tmp")
    try:
        temporary.touch(exist_ok=False)
        if final.exists():
            keep_rights(final, temporary)
        yield temporary
        put(temporary, final)
    except OSError as error:
        raise SmgError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_stdout(target: str | os.PathLike) -> bool:
    return os.fspath(target) == "-"


def _to_stdout(data: memoryview) -> None:
    try:
        while len(data):  # an unbuffered standard output may take less than it is given
            data = data[sys.stdout.buffer.write(data) :]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SmgError("standard output was closed before the whole sound was written") from None
