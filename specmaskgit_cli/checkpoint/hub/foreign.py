"""Repositories on the Hugging Face Hub that are not checkpoints of this program: what a conversion needs of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ...errors import SmgError
from ..layout import sha256_of
from .errors import explained
from .names import HubName
from .transfer import CLIENT

_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_published(name: HubName, choose: Callable[[Path, list[str]], list[str]], first: tuple[str, ...]) -> Path:
    """Download some files of a repository into the Hub's cache.

    Args:
        choose: told the directory, which has the files of `first` in it as far as there are such, and the names of all
            files, gives the names of those to download as well.

    Returns:
        the directory of the commit in the cache.

    Raises:
        SmgError: no such repository, no access or answer, a file that is damaged, no space; what `choose` raises.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    with explained(str(name)):
        folder = Path(snapshot_download(name.repo, revision=name.revision, allow_patterns=list(first), **CLIENT))
        if constants.HF_HUB_OFFLINE:
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        else:
            names = HfApi(**CLIENT).list_repo_files(name.repo, revision=folder.name)
        chosen = choose(folder, names)
        snapshot_download(name.repo, revision=folder.name, allow_patterns=chosen, **CLIENT)
    for file in chosen:
        # Large files are stored in the cache under their SHA-256.
        stored = (folder / file).resolve()
        if _SHA256.fullmatch(stored.name) and sha256_of(stored) != stored.name:
            stored.unlink()
            raise SmgError(f"{name} on the Hub: {file} was damaged on its way; run the command again")
    return folder
