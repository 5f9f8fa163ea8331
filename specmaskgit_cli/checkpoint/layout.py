"""A checkpoint directory: config.json, the model's files, and SHA256SUMS over all of them.

SHA256SUMS is in the format of coreutils, so that `sha256sum -c SHA256SUMS` checks a checkpoint without this program.
Opening a checkpoint checks that every listed file is there and that config.json is unchanged; every other file is
checked when it is first asked for, so that start-up hashes only what it reads. `inspect_files` checks all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..config.limits import check_config
from ..config.settings import FORMAT_VERSION, CheckpointConfig, from_dict, to_dict
from ..errors import SmgError

if TYPE_CHECKING:
    import numpy as np

SUMS = "SHA256SUMS"
CONFIG = "config.json"
_FIX = "pull or pack it again"


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        directory: where it is.
        config: its config.json.
        hash: 12 hexadecimal digits that identify its contents, from SHA256SUMS.
    """

    directory: Path
    config: CheckpointConfig
    hash: str
    _sums: dict[str, str]
    _checked: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self._sums

    @property
    def commit(self) -> str | None:
        """The commit of its repository on the Hub, where it is a snapshot in the Hub's cache."""
        name, parent = self.directory.name, self.directory.parent.name
        return name if parent == "snapshots" and re.fullmatch("[0-9a-f]{40}", name) else None

    def path(self, name: str) -> Path:
        """The file called `name` ("onnx/generator.onnx"), checked against its checksum on first use.

        Raises:
            SmgError: the checkpoint has no such file, or it is missing or changed.
        """
        if name not in self._sums:
            raise SmgError(f"{self.directory} has no {name}; this needs a checkpoint that has one")
        if name not in self._checked:
            path, state = self.directory / name, _state(self.directory / name, self._sums[name])
            if state != "ok":
                raise SmgError(f"{path} is {state}; {_FIX}")
            self._checked.add(name)
        return self.directory / name

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one of its safetensors files, as `load_tensors` gives them. Raises SmgError as `path` does."""
        return load_tensors(self.path(name))


def load_checkpoint(directory: str | os.PathLike) -> Checkpoint:
    """Open a checkpoint directory.

    Raises:
        SmgError: it is not a checkpoint, a listed file is missing, config.json is changed or not understood, or the
            format is newer than this program.
    """
    directory = Path(directory)
    sums = read_sums(directory)
    if CONFIG not in sums:
        raise SmgError(f"{directory / SUMS} does not list {CONFIG}; {_FIX}")
    for name in sums:
        if not os.path.isfile(directory / name):  # Path.is_file raises for a name that is too long
            raise SmgError(f"{directory / name} is missing; {_FIX}")
    config_path = directory / CONFIG
    if (state := _state(config_path, sums[CONFIG])) != "ok":
        raise SmgError(f"{config_path} is {state}; {_FIX}")
    try:
        values = json.loads(config_path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SmgError(f"{config_path} is not JSON ({error}); {_FIX}") from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise SmgError(
            f"{directory} has checkpoint format {version}, this smg reads up to {FORMAT_VERSION}; update smg"
        )
    config = from_dict(CheckpointConfig, values, str(config_path))
    check_config(config, str(config_path))
    digest = hashlib.sha256((directory / SUMS).read_bytes()).hexdigest()[:12]
    return Checkpoint(directory, config, digest, sums, {CONFIG})


def write_config(config: CheckpointConfig, directory: Path) -> None:
    """Write the config.json of a checkpoint directory."""
    (directory / CONFIG).write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")


def read_sums(directory: str | os.PathLike) -> dict[str, str]:
    """The names and hexadecimal SHA-256 digests listed in a checkpoint directory.

    Raises:
        SmgError: no such directory, no SHA256SUMS in it, or a line that names no file inside the directory.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise SmgError(f"{directory}: no such directory; name a checkpoint directory")
    path = directory / SUMS
    if not path.is_file():
        raise SmgError(f"{directory} is not a checkpoint: it has no {SUMS}; {_FIX}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SmgError(f"{path} cannot be read; {_FIX}") from None
    return parse_sums(text, str(path))


def parse_sums(text: str, source: str) -> dict[str, str]:
    """What `read_sums` gives, from the text of a SHA256SUMS that `source` names in errors.

    Raises:
        SmgError: a line that names no file inside the directory.
    """
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, _, name = line.partition("  ")
        inside = PurePosixPath(name)
        # A checkpoint may come from anyone: nothing it lists may reach outside its directory.
        escapes = inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name
        if len(digest) != 64 or not name.strip() or not name.isprintable() or escapes:
            raise SmgError(f"{source}: line {number} is not a SHA-256 sum of a file in the checkpoint; {_FIX}")
        sums[name] = digest.lower()
    return sums


def write_sums(directory: str | os.PathLike) -> None:
    """Write SHA256SUMS over every file of a checkpoint directory, hidden ones aside."""
    directory = Path(directory)
    lines = [f"{sha256_of(directory / name)}  {name}\n" for name in _files(directory)]
    temporary = directory / f".{SUMS}.tmp"
    temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    temporary.replace(directory / SUMS)


def inspect_files(directory: str | os.PathLike) -> dict[str, str]:
    """Check every file: name to "ok", "changed", "missing", "unreadable", or "not listed" (harmless, never used).

    Raises:
        SmgError: as `read_sums`.
    """
    directory = Path(directory)
    sums = read_sums(directory)
    found = {name: _state(directory / name, digest) for name, digest in sums.items()}
    return found | {name: "not listed" for name in _files(directory) if name not in sums}


def load_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a safetensors file; float16, the precision of storage, becomes float32.

    Raises:
        SmgError: not a safetensors file.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise SmgError(f"{path} is not a readable safetensors file ({error}); {_FIX}") from None
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in tensors.items()}


def _files(directory: Path) -> list[str]:
    names = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return sorted(name.as_posix() for name in names if name.as_posix() != SUMS and not _hidden(name))


def _hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's contents, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path, digest: str) -> str:
    try:
        return "ok" if sha256_of(path) == digest else "changed"
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "missing"
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return "unreadable"
