"""A waveform to the bytes of a sound file, the same bytes each time: libsndfile alone would put time and chance in."""

from __future__ import annotations

import io
import zlib

import numpy as np

from ..errors import SmgError
from .metadata import id3, set_tags

# Extension -> libsndfile's format and its default subtype.
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
# Codecs that know few sample rates; sounds at another rate are resampled to the next higher one.
RATES = {
    "OPUS": (8000, 12000, 16000, 24000, 48000),
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
# What --bits says -> libsndfile's subtype.
BITS = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
UNLIMITED = ("FLOAT", "DOUBLE")  # subtypes that can hold samples beyond [-1, 1]
_BLOCK = 1 << 16  # samples; libsndfile's Vorbis encoder overflows its stack when given minutes at once
_SERIAL = b"smg\0"  # of Ogg streams, which should differ among those that are put into one file


def encoded(waveform: np.ndarray, rate: int, kind: str, subtype: str, metadata: dict[str, str]) -> memoryview:
    """The bytes of a sound file. In memory, because libsndfile ignores a full disk where it closes a file.

    Args:
        waveform: float32 [n] or [channels, n]; clipped to [-1, 1] unless `subtype` is among UNLIMITED.
        rate: one that the subtype knows, see RATES.
        kind, subtype: libsndfile's names, such as "WAV" and "PCM_16".
        metadata: see `metadata.KEYS`.

    Raises:
        SmgError: libsndfile cannot encode it so.
    """
    import soundfile

    buffer = io.BytesIO()
    waveform = np.atleast_2d(waveform)
    channels = len(waveform)
    try:
        with soundfile.SoundFile(buffer, "w", rate, channels, format=kind, subtype=subtype) as file:
            if kind in ("FLAC", "OGG"):
                set_tags(file, metadata)
            for start in range(0, waveform.shape[1], _BLOCK):
                block = waveform[:, start : start + _BLOCK].T
                file.write(block if subtype in UNLIMITED else np.clip(block, -1, 1))
            if kind == "WAV":  # behind the samples: there are readers that expect those at byte 44
                set_tags(file, metadata)
    except soundfile.LibsndfileError as error:
        layout = f"{kind} ({subtype}) at {rate} Hz with {channels} channels"
        raise SmgError(f"cannot encode as {layout}: {error.error_string}; write a .wav instead") from None
    data = buffer.getbuffer()
    if kind == "WAV":
        _clear_time(data)
    elif kind == "OGG":
        _set_serial(data)
    elif kind == "MP3" and metadata:
        return memoryview(id3(metadata) + data)
    return data


def _clear_time(wav: memoryview) -> None:
    """Set the time in the PEAK chunk, which libsndfile adds to floats, to 0."""
    at = 12
    while at + 8 <= len(wav) and bytes(wav[at : at + 4]) != b"data":
        size = int.from_bytes(wav[at + 4 : at + 8], "little")
        if bytes(wav[at : at + 4]) == b"PEAK":
            wav[at + 12 : at + 16] = bytes(4)
        at += 8 + size + size % 2


def _set_serial(ogg: memoryview) -> None:
    """Give all pages of an Ogg stream the same serial number, and their checksums."""
    at = 0
    while at < len(ogg):
        count = ogg[at + 26]
        size = 27 + count + sum(ogg[at + 27 : at + 27 + count])
        ogg[at + 14 : at + 18] = _SERIAL
        ogg[at + 22 : at + 26] = bytes(4)
        ogg[at + 22 : at + 26] = _ogg_checksum(ogg[at : at + size]).to_bytes(4, "little")
        at += size


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: memoryview) -> int:
    """CRC-32 as Ogg has it: zlib's polynomial with the bits the other way round, and neither inverted."""
    mirrored = zlib.crc32(bytes(page).translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
