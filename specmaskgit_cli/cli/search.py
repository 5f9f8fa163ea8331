"""`smg search`: sounds in folders, found by a text or by another sound."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..options.search import SearchOptions
from ..terminal import say
from . import common
from .parameters import hint_of
from .progress import progress_bar
from .report import print_json

if TYPE_CHECKING:
    from ..search.find import Match

Words = Annotated[
    list[str],
    typer.Argument(metavar="FOLDER... TEXT", help="Folders of sounds, or sound files; then what to find in them."),
]

Like, Num, Places = (hint_of(SearchOptions, name) for name in ("like", "num", "places"))


def search(
    words: Words,
    like: Like = None,
    num: Num = 10,
    places: Places = False,
    playlist: Annotated[str | None, typer.Option(metavar="FILE", help="Also write a playlist: .m3u8.")] = None,
    index: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to keep the index, instead of the one in the cache.")
    ] = None,
    model: common.Model = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.ReportOnly = False,
) -> None:
    """Find sounds in folders by a text, or by a sound that they resemble.

    The first search of a folder reads it; later ones read what is new or changed.

    Example: smg search sounds "metal door"
    """
    started = time.perf_counter()
    folders, prompt = (words, None) if like is not None else (words[:-1], words[-1])
    if not folders:
        raise UsageError(f"only {prompt!r} is given; name folders first, then what to find in them")
    options = SearchOptions(prompt=prompt, like=like, num=num, places=places)

    from ..pipeline import load
    from ..search.find import SPAN_SECONDS, default_index
    from ..search.find import search as find
    from ..search.playlist import check_playlist, write_playlist

    if playlist:
        check_playlist(playlist)
    index = index or default_index()
    with progress_bar("downloading", quiet) as progress:
        pipe = load(model, backend, device, threads, progress=progress)
    with progress_bar("reading sounds", quiet) as progress:
        found = find(pipe.engine.prompts, folders, options, index, progress)
    for line in () if quiet else found.remarks.lines():
        say("smg:", line, error=True)
    if playlist:
        write_playlist(playlist, found.matches)
    if as_json:
        left_out = [
            {"file": file, "error": reason} for reason, files in found.remarks.left_out.items() for file in files
        ]
        document = {
            "model": pipe.config.name,
            "model_hash": pipe.checkpoint.hash,
            "prompt": options.prompt,
            "like": options.like,
            "index": str(index),
            "playlist": playlist,
            "files": found.files,
            "read": found.read,
            "dropped": found.dropped,
            "left_out": left_out,
            "results": [asdict(match) for match in found.matches],
            "seconds_taken": round(time.perf_counter() - started, 3),
        }
        print_json("search", document)
        return
    for rank, match in enumerate(found.matches, 1):
        place = f"  at {_clock(match.start)}" if match.seconds > SPAN_SECONDS else ""
        say(f"{rank:>4}  {match.score:5.2f}  {_length(match):>8}  {match.file}{place}")


def _length(match: Match) -> str:
    return f"{match.seconds:.1f} s" if match.seconds < 60 else _clock(match.seconds)


def _clock(seconds: float) -> str:
    """As `Time` reads it: m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
