"""Playlists of what was found: extended M3U in UTF-8, as players and many editors read it."""

from __future__ import annotations

import os
from pathlib import Path

from ..audio.files import atomic_path, check_writable
from ..errors import UsageError
from .find import SPAN_SECONDS, Match

SUFFIX = ".m3u8"


def check_playlist(target: str) -> None:
    """Raise SmgError where a playlist cannot be written to a file."""
    if Path(target).suffix.lower() != SUFFIX:
        raise UsageError(f"playlist is {target!r}; end the name in {SUFFIX}")
    check_writable(target)


def write_playlist(target: str, matches: list[Match]) -> None:
    """Write a playlist of whole paths, complete or not at all; VLC starts long recordings at the part that was found.

    Raises:
        SmgError: the file cannot be written.
    """
    lines = ["#EXTM3U"]
    for match in matches:
        path = Path(match.file).resolve()
        lines.append(f"#EXTINF:{round(match.seconds)},{' '.join(path.name.split())}")
        if match.seconds > SPAN_SECONDS:
            lines.append(f"#EXTVLCOPT:start-time={match.start:.2f}")
        whole = os.fspath(path)
        lines.append(path.as_uri() if len(whole.splitlines()) > 1 else whole)  # a line cannot hold a line break
    with atomic_path(target) as temporary:
        temporary.write_bytes("".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))
