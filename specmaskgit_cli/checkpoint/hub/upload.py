"""Upload of a checkpoint directory to the Hugging Face Hub, with a model card that the Hub can read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import SmgError
from ..card import CARD
from ..layout import SUMS, Checkpoint, inspect_files, load_checkpoint, read_sums
from .errors import explained
from .names import HubName, check_kinds
from .transfer import CLIENT

LIBRARY = "specmaskgit-cli"
TASK = "text-to-audio"
TAGS = ("text-to-audio", "sound-effects", "specmaskgit", "onnx")


def push(
    directory: Path, name: HubName, private: bool = False, message: str | None = None, show_progress: bool = False
) -> str:
    """Upload a checkpoint as one commit, after a check of all its files; the repository is created if there is none.

    Only what SHA256SUMS lists is uploaded. What the header of the model card lacks is filled in, in the upload alone.

    Args:
        private: a repository that is created is visible to its owner alone.
        message: of the commit.
        show_progress: draw huggingface_hub's bars on standard error.

    Returns:
        the commit, 40 hexadecimal digits.

    Raises:
        SmgError: the directory is damaged or no checkpoint, or the Hub cannot be reached or refuses.
    """
    if name.revision:
        raise SmgError(f"{name}: a model is pushed to the main branch; leave @{name.revision} out")
    for file, state in inspect_files(directory).items():
        if state not in ("ok", "not listed"):
            raise SmgError(f"{directory}: {file} is {state}; only a whole checkpoint is pushed, pull or pack it again")
    checkpoint, sums = load_checkpoint(directory), read_sums(directory)
    check_kinds(sums, str(directory))
    contents: dict[str, Path | bytes] = {file: directory / file for file in sums} | {SUMS: directory / SUMS}
    card = model_card(checkpoint)
    if card is not None:
        sums[CARD] = hashlib.sha256(card).hexdigest()
        lines = (f"{sums[file]}  {file}\n" for file in sorted(sums))
        contents |= {CARD: card, SUMS: "".join(lines).encode()}
    message = message or f"{checkpoint.config.name} {checkpoint.config.version}"
    with explained(str(name), writing=True), _library_output(show_progress):
        return _upload(name.repo, contents, private, message)


def model_card(checkpoint: Checkpoint) -> bytes | None:
    """README.md with a header that says license, library, task and tags; None if the checkpoint's own says all that.

    Raises:
        SmgError: the header is not YAML.
    """
    from huggingface_hub import ModelCard

    config = checkpoint.config
    text = checkpoint.path(CARD).read_text(encoding="utf-8") if CARD in checkpoint else f"# {config.name}\n"
    try:
        with _library_output(False):
            card = ModelCard(text)
    except Exception as error:  # of the YAML parser, and ValueError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SmgError(f"{checkpoint.directory / CARD}: its header is not YAML ({reason}); correct it") from None
    # The Hub knows licences by their SPDX identifiers in lower case.
    wanted = {"license": config.license.lower() or "other", "library_name": LIBRARY}
    wanted |= {"pipeline_tag": TASK, "tags": list(TAGS)}
    lacking = {key: value for key, value in wanted.items() if not getattr(card.data, key, None)}
    if CARD in checkpoint and not lacking:
        return None
    for key, value in lacking.items():
        setattr(card.data, key, value)
    return str(card).encode()


def _upload(repo: str, contents: dict[str, Path | bytes], private: bool, message: str) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(**CLIENT)
    api.create_repo(repo, private=private, exist_ok=True)
    operations = [CommitOperationAdd(file, source) for file, source in contents.items()]
    return api.create_commit(repo, operations, commit_message=message).oid


@contextmanager
def _library_output(shown: bool) -> Iterator[None]:
    """huggingface_hub's remarks never, and its bars only where they are wanted."""
    from huggingface_hub import logging
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    verbosity, bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if bars and not shown:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars and not shown:
            enable_progress_bars()
