"""One file from the Hub: what it is there, and its bytes, going on where an earlier transfer stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...errors import SmgError
from .errors import broken_transfer

ATTEMPTS = 3  # in a row that bring no byte
PAUSE = 1.0  # seconds before the next one
CHUNK = 1 << 18  # bytes
CLIENT = {"library_name": "specmaskgit-cli", "library_version": __version__}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[\w-]{1,128}")
_PARTIAL, _RANGE_REFUSED = 206, 416  # HTTP status


@dataclass(frozen=True)
class RemoteFile:
    """A file on the Hub.

    Attributes:
        url: where to ask for it.
        commit: of its repository, 40 hexadecimal digits.
        etag: what the Hub calls its contents; names the file in the cache.
        size: bytes; None if the server does not say.
    """

    url: str
    commit: str
    etag: str
    size: int | None


def look_up(repo: str, name: str, revision: str | None) -> RemoteFile:
    """Ask the Hub about a file, without its bytes.

    Raises:
        SmgError: the answer is not one of a Hub.
        huggingface_hub's and its HTTP library's: no such file, no access, no answer.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, name, revision=revision)
    found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT, **CLIENT)
    # Both become names of files here, so that nothing but these forms is let in.
    if not _COMMIT.fullmatch(found.commit_hash or "") or not _ETAG.fullmatch(found.etag or ""):
        raise SmgError(f"{constants.ENDPOINT} does not answer like a Hub; check HF_ENDPOINT and the proxy settings")
    return RemoteFile(url, found.commit_hash, found.etag, found.size)


def fetch(file: RemoteFile, path: Path, report: Callable[[int], None] = lambda done: None) -> None:
    """Complete the file at `path`, which may hold its first bytes already.

    Args:
        report: is told how many bytes are there.

    Raises:
        what `look_up` raises, and OSError; the bytes that have arrived stay.
    """
    failures = 0
    while True:
        before = _length(path)
        if file.size is None or before > file.size:  # cannot tell whether these are its first bytes
            path.unlink(missing_ok=True)
            before = 0
        if before == file.size and before:
            return None
        try:
            return _stream(file, path, before, report)
        except Exception as error:
            if not broken_transfer(error):
                raise
            failures = 1 if _length(path) > before else failures + 1
            if failures >= ATTEMPTS:
                raise
        time.sleep(PAUSE)


def _stream(file: RemoteFile, path: Path, start: int, report: Callable[[int], None]) -> None:
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    # Compressed, a range of the file would be one of the compressed bytes.
    headers = build_hf_headers(**CLIENT) | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", file.url, headers=headers, timeout=timeout) as response:
        if response.status_code == _RANGE_REFUSED:
            path.unlink(missing_ok=True)
        hf_raise_for_status(response)
        if start and response.status_code != _PARTIAL:
            start = 0  # the server sends it all
        with path.open("ab" if start else "wb", buffering=0) as out:
            report(start)
            for chunk in response.iter_bytes(CHUNK):
                out.write(chunk)
                report(out.tell())
    if file.size is not None and _length(path) != file.size:
        path.unlink()
        raise SmgError(f"{file.url}: the server sent another number of bytes than it announced; run the command again")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
