"""From the name of a model to its checkpoint: the shipped one, a directory, or a repository on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import SmgError
from .layout import Checkpoint, load_checkpoint

DEFAULT = "default"
ENVIRONMENT = "SMG_MODEL"
_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
# Data only: no code or pickle of a repository is ever downloaded.
_PATTERNS = ["config.json", "README.md", "SHA256SUMS", "*.safetensors", "*.json", "*.onnx"]


def resolve(model: str | None = None) -> Checkpoint:
    """Open a model by name. Raises SmgError as `find` and `load_checkpoint` do."""
    return load_checkpoint(find(model))


def find(model: str | None = None) -> Path:
    """The directory of a model.

    Args:
        model: "default" for the shipped one, a directory, or "owner/name[@revision]" on the Hub, which is downloaded
            on first use (HF_HUB_OFFLINE, HF_ENDPOINT, HF_HOME and HF_TOKEN apply). None takes the environment
            variable SMG_MODEL, or else the shipped one.

    Raises:
        SmgError: nothing goes by that name, or the download failed.
    """
    model = str(model) if model is not None else os.environ.get(ENVIRONMENT) or DEFAULT
    if model == DEFAULT:
        return shipped()
    directory = Path(model).expanduser()
    if directory.is_dir():
        return directory
    if match := _HUB.fullmatch(model):
        return _download(match["repo"], match["revision"])
    raise SmgError(f"unknown model {model!r}; use {DEFAULT!r}, a checkpoint directory, or owner/name on the Hub")


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


def cached() -> list[tuple[str, Path]]:
    """Checkpoints downloaded from the Hub: ("owner/name@commit", directory) each, newest first."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    from .layout import SUMS

    try:
        revisions = [(repo, revision) for repo in scan_cache_dir().repos for revision in repo.revisions]
    except CacheNotFound:
        return []
    revisions.sort(key=lambda pair: -pair[1].last_modified)
    return [
        (f"{repo.repo_id}@{revision.commit_hash}", revision.snapshot_path)
        for repo, revision in revisions
        if (revision.snapshot_path / SUMS).is_file()
    ]


def _download(repo: str, revision: str | None) -> Path:
    from huggingface_hub import errors, snapshot_download

    name = f"{repo}@{revision}" if revision else repo
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=_PATTERNS))
    except errors.RevisionNotFoundError:
        raise SmgError(f"model {repo!r} has no revision {revision!r} on the Hub; leave @{revision} out") from None
    except errors.GatedRepoError:
        raise SmgError(f"model {name!r} is gated on the Hub; ask for access there and set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        raise SmgError(
            f"no directory and no Hub model is called {name!r}; check the name, or set HF_TOKEN if it is private"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise SmgError(
            f"model {name!r} is no directory, is not downloaded yet, and the Hub cannot be reached; check the name, "
            "the network and HF_HUB_OFFLINE"
        ) from None
    except Exception as error:  # transport errors of several libraries, full disk, names that are not allowed
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SmgError(f"could not download model {name!r}: {reason}") from None
