"""Kinds of sound files that are sound, but that nothing here decodes: what they are, and what to do with them."""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = {
    ".m4a": "MPEG-4", ".mp4": "MPEG-4", ".m4b": "MPEG-4", ".mov": "MPEG-4", ".3gp": "MPEG-4", ".aac": "AAC",
    ".webm": "WebM", ".mka": "Matroska", ".mkv": "Matroska", ".wma": "Windows Media", ".amr": "AMR", ".ac3": "AC-3",
    ".ape": "Monkey's Audio", ".wv": "WavPack", ".dsf": "DSD",
}  # fmt: skip
HEAD_BYTES = 12  # of a file, by which `kind_of` knows it


def kind_of(name: object, head: bytes = b"") -> str | None:
    """What such a file is called, by its first bytes or else by its name; None for any other file."""
    if head[4:8] == b"ftyp":
        return "MPEG-4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "WebM or Matroska"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "Windows Media"
    if head.startswith(b"#!AMR"):
        return "AMR"
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:  # MPEG audio has other bits where AAC has zeros
        return "AAC"
    return SUFFIXES.get(PurePath(str(name)).suffix.lower())


def advice(kind: str) -> str:
    """What to tell the user who has a file of such a kind, as the rest of a sentence about it."""
    return f"is {kind}, which cannot be read here; convert it first: ffmpeg -i IN OUT.flac"
