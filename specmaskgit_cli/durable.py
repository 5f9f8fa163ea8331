"""Files that come into their place whole, whatever happens meanwhile, with the rights that the user gave or expects."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF, errno.EISDIR)  # sync this, on this file system


def put(temporary: Path, final: Path) -> None:
    """Give a file or a directory that is complete its name, so that a power cut leaves what was there, or all of it.

    Raises:
        OSError: it cannot be stored, or not be renamed.
    """
    inside = sorted(temporary.rglob("*"), reverse=True) if temporary.is_dir() else []
    for path in (*inside, temporary):
        sync(path)
    os.replace(temporary, final)
    sync(final.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a directory, is on the disk. Raises OSError where the disk fails."""
    with contextlib.ExitStack() as closing:
        try:
            number = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
            closing.callback(os.close, number)
            os.fsync(number)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise


def keep_rights(old: Path, new: Path) -> None:
    """Give a new file that is to replace an old one its mode, and its owner and group as far as this user may."""
    rights = old.stat()
    if hasattr(os, "chown"):
        for owner in ((-1, rights.st_gid), (rights.st_uid, -1)):
            with contextlib.suppress(OSError):
                os.chown(new, *owner)
    new.chmod(rights.st_mode & 0o7777)


def usual_rights(path: Path) -> None:
    """Give a file that a library made for its user alone the mode that other new files get here, as the umask says."""
    other = path.with_name(f".smg-{secrets.token_hex(6)}.tmp")
    other.touch(exist_ok=False)
    try:
        path.chmod(other.stat().st_mode & 0o777)
    finally:
        other.unlink()
