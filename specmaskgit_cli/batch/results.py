"""What was done in a directory: one JSON line for each row, written as the rows end, and read when a batch resumes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from ..durable import keep_rights, put, sync
from ..errors import SmgError
from ..sounds.record import sha256

NAME = "results.jsonl"
SCRATCH = ".smg-batch"  # for files on their way to their names; nothing else lies there
ROOM = 8 << 20  # bytes, about two sounds
DONE = ("done", "nothing")  # nothing: an edit that found nothing to do


class Results:
    """The directory of a batch while it runs, for which no second one can have it.

    Raises:
        SmgError: it cannot be made or written, or another batch runs there.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.path, self.scratch = self.directory / NAME, self.directory / SCRATCH
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise SmgError(f"cannot write {self.path}: {error.strerror}; choose another directory") from None
        try:
            self._lock()
            self._make_scratch()
            self._done = self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exception) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._file.close()

    def done(self, key: str) -> dict | None:
        """The line of a row that was done before and whose files are all there as they were written; or None."""
        line = self._done.get(key)
        if line is None or any(sha256(self.directory / f["file"]) != f["sha256"] for f in line["files"]):
            return None
        return line

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place, complete or not at all. Raises SmgError where that fails."""
        final, part = self.directory / name, self.scratch / "part"
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            if final.exists():
                keep_rights(final, part)
            put(part, final)
        except OSError as error:
            raise SmgError(f"cannot write {final}: {error.strerror or error}") from None

    def check_room(self) -> None:
        """Raise SmgError where nothing can be written any more, so that no further row is worth its work."""
        probe = self.scratch / "probe"
        try:
            probe.write_bytes(bytes(ROOM))
            sync(probe)
        except OSError as error:
            reason = error.strerror or error
            raise SmgError(f"cannot write in {self.directory}: {reason}; make room, and run it again") from None
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def append(self, line: dict) -> None:
        """Keep a row's line; it is in the file when this returns. Raises SmgError where that fails."""
        try:
            self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SmgError(f"cannot write {self.path}: {error.strerror}") from None

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: two batches in one directory have to be avoided by hand
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however it ends
        except BlockingIOError:
            raise SmgError(f"another batch is working in {self.directory}; wait for it, or choose another") from None
        except OSError:  # a file system without locks
            pass

    def _make_scratch(self) -> None:
        """Empty, whatever a batch that was killed has left there."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        try:
            self.scratch.mkdir(exist_ok=True)
        except OSError as error:
            raise SmgError(f"cannot write in {self.directory}: {error.strerror}; choose another directory") from None

    def _read(self) -> dict[str, dict]:
        """The last line of each key whose row was done. Lines that are torn or none of ours count for nothing."""
        self._file.seek(0)
        data, found = self._file.read(), {}
        for content in data.splitlines():
            with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
                line = json.loads(content)
                files = [{"file": str(f["file"]), "sha256": str(f["sha256"])} for f in line["files"]]
                found[line["key"]] = (line["status"], files)
        if data and not data.endswith(b"\n"):
            self._file.write(b"\n")
        return {key: {"files": files} for key, (status, files) in found.items() if status in DONE}
