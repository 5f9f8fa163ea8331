"""Names of files: parts of them made from texts, and those of the layers of a scene beside the scene's own."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

from ..options import SamplingOptions

SLUG_LENGTH = 40


def slug(text: str) -> str:
    """A text as part of a file name: ASCII letters and digits with hyphens between words; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:SLUG_LENGTH].strip("-")


def with_stems(name: str, options: SamplingOptions) -> list[str]:
    """The files of one sound: its own, and where its layers are wanted too theirs, such as out-1-rain.wav."""
    if not options.stems_apart:
        return [name]
    head, extension = name.removesuffix(PurePath(name).suffix), PurePath(name).suffix
    labels = ["-".join(filter(None, (str(number), slug(text)))) for number, text in enumerate(options.texts, 1)]
    return [name, *(f"{head}-{label}{extension}" for label in labels)]
