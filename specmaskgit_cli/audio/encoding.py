"""A waveform to the bytes of a sound file, the same bytes each time: libsndfile alone would put time and chance in."""

from __future__ import annotations

import io

import numpy as np

from ..errors import SmgError
from .loops import LEAD_SECONDS, sampler_chunk
from .loops import comments as loop_comments
from .metadata import KEYS, set_tags
from .ogg import cut_opus, set_serial
from .riff import with_chunks
from .tags import Extras, id3, tagged

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
WHOLE = ("PCM_32", "DOUBLE")  # subtypes whose samples float32 does not hold
_MASK = 40  # where the header of a WAV says which channel is which


def encoded(
    waveform: np.ndarray,
    rate: int,
    kind: str,
    subtype: str,
    metadata: dict[str, str] | None = None,
    extras: Extras | None = None,
    loop: bool = False,
) -> bytes | memoryview:
    """The bytes of a sound file. In memory, because libsndfile ignores a full disk where it closes a file.

    Args:
        waveform: float32 or float64, [n] or [channels, n]; clipped to [-1, 1] unless `subtype` is among UNLIMITED.
        rate: one that the subtype knows, see RATES.
        kind, subtype: libsndfile's names, such as "WAV" and "PCM_16".
        metadata: see `metadata.KEYS`.
        extras: what else the file is to tell; where both have a tag, that of `extras` counts.
        loop: the end runs into the beginning. The file says so where its format can.

    Raises:
        SmgError: libsndfile cannot encode it so.
    """
    import soundfile

    extras, buffer, waveform = extras or Extras(), io.BytesIO(), np.atleast_2d(waveform)
    channels, length = waveform.shape
    texts = {name: [str(value)] for name, value in (metadata or {}).items()} | extras.texts
    mask = extras.mask if kind == "WAV" and extras.mask and extras.mask.bit_count() == channels else None
    lead = round(LEAD_SECONDS * rate) if loop and subtype == "OPUS" else 0
    if lead:
        waveform = np.pad(waveform, ((0, 0), (lead, lead)), mode="wrap")
    try:
        with soundfile.SoundFile(
            buffer, "w", rate, channels, format="WAVEX" if mask else kind, subtype=subtype
        ) as file:
            for start in range(0, waveform.shape[1], _BLOCK):
                block = waveform[:, start : start + _BLOCK].T
                file.write(block if subtype in UNLIMITED else np.clip(block, -1, 1))
            if kind == "WAV":  # behind the samples: there are readers that expect those at byte 44
                set_tags(file, texts)
    except soundfile.LibsndfileError as error:
        layout = f"{kind} ({subtype}) at {rate} Hz with {channels} channels"
        raise SmgError(f"cannot encode as {layout}: {error.error_string}; write a .wav instead") from None
    if kind == "WAV":
        return _wav(buffer.getbuffer(), rate, length, texts, extras, mask, loop)
    data = bytes(cut_opus(buffer.getvalue(), rate, lead, length)) if lead else buffer.getvalue()
    if kind != "MP3" and loop:
        texts |= loop_comments(length)
    if texts or extras.pictures or kind != "MP3":
        data = tagged(data, kind, texts, extras.pictures)
    if kind != "OGG":
        return data
    ogg = bytearray(data)
    set_serial(ogg)
    return bytes(ogg)


def _wav(
    data: memoryview, rate: int, length: int, texts: dict[str, list[str]], extras: Extras, mask: int | None, loop: bool
) -> bytes | memoryview:
    _clear_time(data)
    if mask:
        data[_MASK : _MASK + 4] = mask.to_bytes(4, "little")
    added = sampler_chunk(rate, length) if loop else b""
    if extras.pictures or extras.texts.keys() - KEYS.keys():  # for which an INFO list has no place
        tag = id3(texts, extras.pictures)
        added += b"id3 " + len(tag).to_bytes(4, "little") + tag + bytes(len(tag) % 2)
    return with_chunks(data, added) if added else data


def _clear_time(wav: memoryview) -> None:
    """Set the time in the PEAK chunk, which libsndfile adds to floats, to 0."""
    at = 12
    while at + 8 <= len(wav) and bytes(wav[at : at + 4]) != b"data":
        size = int.from_bytes(wav[at + 4 : at + 8], "little")
        if bytes(wav[at : at + 4]) == b"PEAK":
            wav[at + 12 : at + 16] = bytes(4)
        at += 8 + size + size % 2
