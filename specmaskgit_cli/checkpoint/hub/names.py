"""Models on the Hugging Face Hub: their names, their place in its cache, download and removal.

The cache is huggingface_hub's own (HF_HOME, HF_HUB_CACHE), in its layout: blobs named by what the Hub calls their
contents, and a directory of links to them for each commit. A snapshot gets its SHA256SUMS last, when every file listed
there has been checked: a directory that has one is whole.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...durable import put
from ...errors import SmgError
from ..layout import SUMS, parse_sums, sha256_of
from .errors import disk_full, explained
from .transfer import RemoteFile, fetch, look_up

Progress = Callable[[int, int], None]

# Data and texts only: code and pickles, which can run anything, never leave the Hub.
SUFFIXES = (".json", ".md", ".txt", ".safetensors", ".onnx")
MAX_SUMS = 1 << 20  # bytes of a SHA256SUMS
REQUESTS = 8  # at once, for the properties of files
_NAME = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w.-]*(/\w[\w.-]*)*))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubName:
    """A model on the Hub: "owner/name", and a branch, tag or commit, where None is the main branch."""

    repo: str
    revision: str | None = None

    @staticmethod
    def parse(text: str) -> HubName | None:
        """From "owner/name[@revision]"; None for what has not this form."""
        match = _NAME.fullmatch(text)
        return HubName(match["repo"], match["revision"]) if match else None

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo

    @property
    def folder(self) -> Path:
        """Where the cache keeps it."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / f"models--{self.repo.replace('/', '--')}"

    @property
    def commit(self) -> str | None:
        """The commit that this name stood for when it was last downloaded; None if it never was."""
        if self.revision and _COMMIT.fullmatch(self.revision):
            return self.revision
        try:
            commit = (self.folder / "refs" / (self.revision or "main")).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
        return commit if _COMMIT.fullmatch(commit) else None


def snapshot(name: HubName) -> Path | None:
    """The directory of a downloaded model; None if it is not downloaded, or not all of it."""
    directory = name.folder / "snapshots" / (name.commit or "none")
    return directory if (directory / SUMS).is_file() else None


def pull(name: HubName, progress: Progress | None = None) -> Path:
    """Download a model, or bring it up to date, and check all of it.

    What is there already and right is not asked for again; a file of which a part is there is continued.

    Returns:
        the directory of its commit in the cache.

    Raises:
        SmgError: no such model, no access or answer, a file that is not what SHA256SUMS says or of a kind that is
            never downloaded, no space, or no home directory to keep it in.
    """
    if str(name.folder).startswith("~"):  # as huggingface_hub has it where it finds no home; it would be made here
        raise SmgError("there is no home directory to keep models in; set HF_HOME to a directory")
    with explained(str(name)), _locked(name):
        sums_file, contents = _read_sums(name)
        try:
            sums = parse_sums(contents.decode(), f"{name} on the Hub: {SUMS}")
        except UnicodeDecodeError:
            raise SmgError(f"{name} on the Hub: {SUMS} is not a text; it is not one of smg") from None
        check_kinds(sums, f"{name} on the Hub")
        directory = name.folder / "snapshots" / sums_file.commit
        blobs = name.folder / "blobs"
        wanted = {file: sha for file, sha in sums.items() if not _right(directory / file, sha)}
        _fetch_all(name, sums_file.commit, wanted, directory, blobs, progress)
        _store(blobs / sums_file.etag, contents)
        _link(blobs / sums_file.etag, directory / SUMS)
        if name.revision != sums_file.commit:
            _store(name.folder / "refs" / (name.revision or "main"), sums_file.commit.encode())
        return directory


def check_kinds(names: object, source: str) -> None:
    """Raises SmgError if a checkpoint has files of a kind that is never downloaded, such as code and pickles."""
    for name in names:
        path = PurePosixPath(name)
        if path.suffix not in SUFFIXES or any(part.startswith(".") for part in path.parts):
            raise SmgError(f"{source} lists {name}, which smg does not download; only {', '.join(SUFFIXES)} files are")


def cached() -> list[tuple[str, Path]]:
    """Models in the cache: ("owner/name@commit", directory) each, newest first."""
    found = [(repo, revision) for repo in _scan() for revision in repo.revisions]
    found = [(repo, revision) for repo, revision in found if (revision.snapshot_path / SUMS).is_file()]
    found.sort(key=lambda pair: -pair[1].last_modified)
    return [(f"{repo.repo_id}@{revision.commit_hash}", revision.snapshot_path) for repo, revision in found]


def remove(name: HubName) -> int:
    """Delete a model from the cache: all that is there of it, or with a revision that one alone.

    Returns:
        bytes freed.

    Raises:
        SmgError: it is not in the cache, or cannot be deleted.
    """
    from huggingface_hub import constants, scan_cache_dir

    missing = SmgError(f"model {str(name)!r} is not downloaded; smg models list shows what is")
    if not name.folder.is_dir():
        raise missing
    with explained(str(name)), _locked(name):
        before = _bytes(name.folder)
        commits = {r.commit_hash for repo in _scan() if repo.repo_id == name.repo for r in repo.revisions}
        if name.revision and name.commit not in commits:
            raise missing
        chosen = {name.commit} if name.revision else commits
        if chosen:
            scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(*chosen).execute()
        if chosen == commits:  # with what interrupted downloads have left
            shutil.rmtree(name.folder, ignore_errors=True)
        left = [name.folder] if chosen == commits else [name.folder / "snapshots" / commit for commit in chosen]
        if any(path.exists() for path in left):
            raise SmgError(f"{left[0]} cannot be deleted; check its permissions")
        return before - _bytes(name.folder)


def _scan() -> list:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        return [repo for repo in scan_cache_dir(constants.HF_HUB_CACHE).repos if repo.repo_type == "model"]
    except (CacheNotFound, RuntimeError):  # the latter where there is no home directory
        return []


def _read_sums(name: HubName) -> tuple[RemoteFile, bytes]:
    """SHA256SUMS of a model as it is on the Hub now. It is always asked for: nothing else could tell if it is right."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        file = look_up(name.repo, SUMS, name.revision)
    except EntryNotFoundError:
        raise SmgError(f"{name} on the Hub is not a model of smg: it has no {SUMS}") from None
    if file.size is not None and file.size > MAX_SUMS:
        raise SmgError(f"{name} on the Hub: {SUMS} is {file.size} bytes long; it is not one of smg")
    path = name.folder / "blobs" / f"{file.etag}.smg.incomplete"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # The commit is pinned from here on, whatever is pushed meanwhile.
    file = look_up(name.repo, SUMS, file.commit)
    fetch(file, path)
    try:
        return file, path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def _fetch_all(
    name: HubName, commit: str, wanted: dict[str, str], directory: Path, blobs: Path, progress: Progress | None
) -> None:
    """Put the wanted files (name to SHA-256) into a snapshot, each when it has been checked."""
    from concurrent.futures import ThreadPoolExecutor

    from huggingface_hub.errors import EntryNotFoundError

    def ask(file: str) -> RemoteFile:
        try:
            return look_up(name.repo, file, commit)
        except EntryNotFoundError:
            raise SmgError(f"{name} on the Hub is not whole: it has no {file}; ask its author, try @revision") from None

    with ThreadPoolExecutor(REQUESTS) as pool:
        files = dict(zip(wanted, pool.map(ask, wanted), strict=True))
    shas: dict[str, str] = {}  # by etag: equal files are one blob
    for wanted_name, file in files.items():
        sha = shas.setdefault(file.etag, wanted[wanted_name])
        if sha != wanted[wanted_name] or (_SHA256.fullmatch(file.etag) and sha != file.etag):
            raise SmgError(_wrong(name, wanted_name))  # known before it is transferred
    absent = {file.etag: file for file in files.values() if not _right(blobs / file.etag, shas[file.etag])}
    total = sum(file.size or 0 for file in absent.values())
    arriving = {etag: blobs / f"{etag}.smg.incomplete" for etag in absent}
    there = sum(path.stat().st_size for path in arriving.values() if path.is_file())
    if total - there > shutil.disk_usage(blobs).free:
        raise SmgError(disk_full(str(name), blobs))
    done = 0
    for wanted_name, file in files.items():
        if absent.pop(file.etag, None):
            path = arriving[file.etag]
            fetch(file, path, lambda n, done=done: progress and progress(done + n, total))
            if not _right(path, shas[file.etag]):
                path.unlink(missing_ok=True)
                raise SmgError(_wrong(name, wanted_name))
            put(path, blobs / file.etag)
            done += file.size or 0
        _link(blobs / file.etag, directory / wanted_name)


def _wrong(name: HubName, file: str) -> str:
    return (
        f"{name} on the Hub: {file} is not what {SUMS} says, damaged there or on its way; run the command again, and "
        "if that does not help, ask its author"
    )


def _link(blob: Path, path: Path) -> None:
    """Make `path` the contents of a blob: by a relative link, or where the system has none, by what comes nearest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.smg.incomplete")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:
        try:
            os.link(blob, temporary)
        except OSError:
            shutil.copyfile(blob, temporary)
    temporary.replace(path)
    temporary.unlink(missing_ok=True)  # stays where both are hard links to one file


def _store(path: Path, contents: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.smg.incomplete")
    temporary.write_bytes(contents)
    put(temporary, path)


def _right(path: Path, sha: str) -> bool:
    try:
        return sha256_of(path) == sha
    except OSError:
        return False


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@contextmanager
def _locked(name: HubName) -> Iterator[None]:
    """One process at a time works on a model; what huggingface_hub would print meanwhile is not for users."""
    from huggingface_hub import logging
    from huggingface_hub.utils import WeakFileLock

    lock = name.folder.parent / ".locks" / name.folder.name / "smg.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with WeakFileLock(lock):
            yield
    finally:
        logging.set_verbosity(verbosity)
