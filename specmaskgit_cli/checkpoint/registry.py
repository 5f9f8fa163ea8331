"""From the name of a model to its checkpoint: the shipped one, a directory, or a repository on the Hugging Face Hub."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import SmgError
from .hub.names import HubName, Progress, cached, pull, snapshot
from .layout import Checkpoint, load_checkpoint

DEFAULT = "default"
ENVIRONMENT = "SMG_MODEL"


def resolve(model: str | None = None, progress: Progress | None = None) -> Checkpoint:
    """Open a model by name. Raises SmgError as `find` and `load_checkpoint` do."""
    return load_checkpoint(find(model, progress))


def find(model: str | None = None, progress: Progress | None = None) -> Path:
    """The directory of a model.

    Args:
        model: "default" for the shipped one, a directory, or "owner/name[@revision]" on the Hub, which is downloaded
            on first use (HF_HUB_OFFLINE, HF_ENDPOINT, HF_HOME and HF_TOKEN apply) and then stays at that commit until
            `hub.pull`. None takes the environment variable SMG_MODEL, or else the shipped one.
        progress: is told (bytes done, bytes in all) of a download.

    Raises:
        SmgError: nothing goes by that name, or the download failed.
    """
    model = str(model) if model is not None else os.environ.get(ENVIRONMENT) or DEFAULT
    if model == DEFAULT:
        return shipped()
    directory = expanded(model)
    if os.path.isdir(directory):  # Path.is_dir raises for a name that is too long
        return directory
    if name := HubName.parse(model):
        return snapshot(name) or pull(name, progress)
    raise SmgError(f"unknown model {model!r}; use {DEFAULT!r}, a checkpoint directory, or owner/name on the Hub")


def expanded(name: str | os.PathLike) -> Path:
    """A path with ~ at its beginning replaced. Raises SmgError where there is no home directory that it stands for."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise SmgError(f"{name}: there is no home directory for ~ to stand for; name the whole path") from None


def local() -> list[tuple[str, Path]]:
    """The models on this computer: name and directory of the shipped one and of those downloaded from the Hub."""
    try:
        found = [(DEFAULT, shipped())]
    except SmgError:
        found = []
    return found + cached()


def shipped() -> Path:
    """The checkpoint that comes with the program: inside the installed package, or beside it in a source checkout.

    Raises:
        SmgError: this installation has none.
    """
    package = Path(__file__).parents[1]
    for parent in (package, package.parent):
        if (directory := parent / "weights" / DEFAULT).is_dir():
            return directory
    raise SmgError(f"this installation has no {DEFAULT!r} model; install it again or name one with --model")
