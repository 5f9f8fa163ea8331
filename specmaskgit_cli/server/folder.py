"""The folder of sounds that agents work in: what lies there, and new files that replace none."""

from __future__ import annotations

import itertools
from pathlib import Path

from ..audio.encoding import FORMATS
from ..audio.files import atomic_path
from ..errors import SmgError
from ..sounds.names import slug
from .service import allowed

MAX_LISTED = 200


class Folder:
    """A folder, which is made where it is not there. Raises SmgError where it cannot be."""

    def __init__(self, path: Path):
        try:
            path.mkdir(exist_ok=True)
            self.path = path.resolve()
        except OSError as error:
            raise SmgError(f"cannot make the folder {path}: {error.strerror}; choose another with --folder") from None

    def inside(self, name: str) -> Path:
        """Where a file lies. Raises SmgError where that is not in the folder, or there is none."""
        return allowed(name, (self.path,))

    def sounds(self) -> list[Path]:
        """The sounds in the folder, the newest first."""
        found = [path for path in self.path.iterdir() if path.suffix[1:].lower() in FORMATS and path.is_file()]
        return sorted(found, key=lambda path: (path.stat().st_mtime, path.name), reverse=True)[:MAX_LISTED]

    def store(self, data: bytes, name: str, format: str) -> Path:
        """Write a sound to a new file, whose name is numbered where there is such a file already.

        Raises:
            SmgError: it cannot be written.
        """
        stem = slug(name.removesuffix(f".{format}")) or "sound"
        for number in itertools.count(1):
            path = self.path / (f"{stem}.{format}" if number == 1 else f"{stem}-{number}.{format}")
            try:
                path.open("xb").close()  # it is ours from now on, whoever else writes here
            except FileExistsError:
                continue
            except OSError as error:
                raise SmgError(f"cannot write {path}: {error.strerror}") from None
            try:
                with atomic_path(path) as temporary:
                    temporary.write_bytes(data)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return path
        raise AssertionError("numbers do not end")
