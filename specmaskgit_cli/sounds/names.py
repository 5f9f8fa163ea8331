"""Names of files, made of what sounds are to be."""

from __future__ import annotations

import re
import unicodedata

SLUG_LENGTH = 40


def slug(text: str) -> str:
    """A text as part of a file name: ASCII letters and digits with hyphens between words; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:SLUG_LENGTH].strip("-")
