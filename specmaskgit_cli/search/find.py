"""A search: an index of folders is brought up to date, and what is nearest to a text or a sound is found in it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import read_audio, resample, to_mono
from ..data.clips import cache_folder
from ..data.contents import read_sound
from ..data.folders import read_folder
from ..data.remarks import Remarks
from ..errors import SmgError
from ..options.search import SearchOptions
from ..synthesis.prompts import Prompts
from .index import Entry, Index, Stamp

SPAN_SECONDS = 5.0  # longer sounds are embedded in equal parts of at most so much; `index._VERSION` goes with it
_SAVE_EVERY = 32  # files: what an interrupt loses at most


@dataclass(frozen=True)
class Match:
    """A sound that was found.

    Attributes:
        file: its path, as the folder that it lies in was named.
        score: cosine to what was searched for, -1 to 1.
        seconds: its length.
        start, end: of the part that was found, in seconds; all of it where it is no longer than SPAN_SECONDS.
    """

    file: str
    score: float
    seconds: float
    start: float
    end: float


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        matches: the best first.
        files: number of sounds in the index that were searched.
        read: number of those that were read anew.
        dropped: number of files that were in the index and are gone.
        remarks: on the files that could not be read.
    """

    matches: list[Match]
    files: int
    read: int
    dropped: int
    remarks: Remarks


def default_index() -> Path:
    """Where the index lies that all searches share; its folder is made. Raises SmgError where it cannot be."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SmgError(f"{folder}: cannot be made: {error.strerror}; set SMG_CACHE to another directory") from None
    return folder / "search.sqlite"


def list_sounds(places: list[str], remarks: Remarks) -> dict[str, str]:
    """The sound files of folders, and files that are named themselves: whole path to the name to show.

    Raises:
        SmgError: a place that is not there, or none holds a sound.
    """
    found = {}
    for name in places:
        place = Path(name)
        if place.is_dir():
            root, own = place.resolve(), Remarks()
            found |= {str(root / each.key): str(place / each.key) for each in read_folder(place, own).sounds}
            for reason, keys in own.left_out.items():
                for key in keys:
                    remarks.leave_out(str(place / key), reason)
        elif place.is_file():
            found[str(place.resolve())] = name
        else:
            raise SmgError(f"{name}: no such folder; name folders of sounds first, and what to find after them")
    if not found:
        reasons = "; ".join(["", *remarks.lines()])
        raise SmgError(f"{', '.join(places)}: no sound file that can be read{reasons}")
    return found


def search(
    prompts: Prompts, places: list[str], options: SearchOptions, index_file: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Found:  # fmt: skip
    """Find sounds in folders, after new and changed files were read into an index.

    Args:
        places: folders, with their sub-folders, or sound files.
        index_file: None is the one that all searches share.
        progress: is told (files read, files to read).

    Raises:
        SmgError: a place that is not there or holds no sound, a `like` file that cannot be read or is silent, an index
            that cannot be used.
    """
    remarks = Remarks()
    sounds = list_sounds(places, remarks)
    wanted, unwanted = _wanted(prompts, options)
    roots = [Path(place).resolve() for place in places]
    with Index(index_file or default_index()) as index:
        read, dropped = _update(index, prompts, sounds, roots, remarks, progress)
        matches, files = {}, set()
        for root in roots:
            for entries in index.entries(root, prompts.checkpoint.hash, len(wanted)):
                there = [entry for entry in entries if entry.path in sounds]  # another process may add others
                files |= {entry.path for entry in there}
                for match in _best([entry for entry in there if entry.path != unwanted], wanted, options):
                    matches[match.file, match.start] = match
    best = sorted(matches.values(), key=lambda match: (-match.score, match.file, match.start))[: options.num]
    named = [Match(sounds[m.file], m.score, m.seconds, m.start, m.end) for m in best]
    return Found(named, len(files), read, dropped, remarks)


def _wanted(prompts: Prompts, options: SearchOptions) -> tuple[np.ndarray, str | None]:
    """The embedding [D] of what to find, of unit length, and the path of the file that would only find itself."""
    if options.prompt is not None:
        return prompts.text(options.prompt)[0], None
    audio = read_audio(options.like, resampled=prompts.hearing_rate)
    total = _embedded(prompts, audio.samples, audio.rate).sum(0)
    if not total.any():
        raise SmgError(f"{options.like} is silent; name a file with sound in it")
    return total / np.linalg.norm(total), os.path.realpath(options.like)


def _embedded(prompts: Prompts, samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples [channels, n] to embeddings float32 [spans, D] of equal parts; those of silent ones are zero."""
    spans = math.ceil(samples.shape[1] / rate / SPAN_SECONDS)
    parts = np.array_split(resample(to_mono(samples), rate, prompts.hearing_rate), spans)
    silent = np.zeros((1, prompts.config.embedder.dim), np.float32)
    return np.concatenate([prompts.hear(part) if part.any() else silent for part in parts])


def _update(
    index: Index, prompts: Prompts, sounds: dict[str, str], roots: list[Path], remarks: Remarks,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, int]:  # fmt: skip
    """Read what is new or changed into the index, and drop what is gone: how many files of both."""
    known: dict[str, Stamp] = {}
    for root in roots:
        known |= index.stamps(root)
    gone = known.keys() - sounds.keys()
    index.change((), gone)
    stamps = {path: _stamp(path, prompts.checkpoint.hash) for path in sounds}
    todo = [path for path, stamp in stamps.items() if stamp is None or stamp != known.get(path)]
    new: list[Entry] = []
    failed: list[str] = []
    count = 0
    try:
        for done, path in enumerate(todo, 1):
            try:
                samples, rate = read_sound(Path(path), prompts.hearing_rate)
            except SmgError as error:
                remarks.leave_out(sounds[path], str(error))
                failed.append(path)
            else:
                if stamp := stamps[path]:
                    new.append(Entry(path, stamp, samples.shape[1] / rate, _embedded(prompts, samples, rate)))
                    count += 1
            if len(new) + len(failed) >= _SAVE_EVERY:
                index.change(new, failed)
                new, failed = [], []
            if progress:
                progress(done, len(todo))
    finally:
        index.change(new, failed)
    return count, len(gone)


def _stamp(path: str, model: str) -> Stamp | None:
    """None of a file that has just gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, model)


def _best(entries: list[Entry], wanted: np.ndarray, options: SearchOptions) -> list[Match]:
    """The `num` best of some sounds, or of their parts, in any order; `file` is the whole path."""
    if not entries:
        return []
    counts = [len(entry.embeddings) for entry in entries]
    embeddings = np.concatenate([entry.embeddings for entry in entries]).astype(np.float32)
    scores = np.where(embeddings.any(1), embeddings @ wanted, -np.inf)
    owners = np.repeat(np.arange(len(entries)), counts)
    firsts = np.cumsum([0, *counts[:-1]])
    order = np.argsort(-scores, kind="stable")
    if not options.places:  # the first of each sound in this order is its best part
        order = order[np.sort(np.unique(owners[order], return_index=True)[1])]
    found = []
    for row in order[: options.num]:
        entry, spans = entries[owners[row]], counts[owners[row]]
        if np.isfinite(scores[row]):
            start = (row - firsts[owners[row]]) * entry.seconds / spans
            end = start + entry.seconds / spans
            found.append(Match(entry.path, float(scores[row]), entry.seconds, float(start), float(end)))
    return found
