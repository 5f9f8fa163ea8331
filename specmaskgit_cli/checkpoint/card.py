"""What a checkpoint says about itself: its model card and the sounds it knows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ..errors import SmgError
from .layout import Checkpoint

if TYPE_CHECKING:
    import numpy as np

CARD = "README.md"
KNOWN_SOUNDS = "known_sounds.json"
_EMBEDDINGS = "known_sounds.safetensors"
_FRONT_MATTER = re.compile(r"\A---\r?\n.*?^---\s*?\n", re.DOTALL | re.MULTILINE)


def read_card(checkpoint: Checkpoint) -> str:
    """The model card as Markdown, without the Hub's YAML header; empty if there is none. Raises SmgError if changed."""
    if CARD not in checkpoint:
        return ""
    return _FRONT_MATTER.sub("", checkpoint.path(CARD).read_text(encoding="utf-8", errors="replace")).strip()


def known_sounds(checkpoint: Checkpoint) -> list[str]:
    """The names of the sounds a checkpoint was trained on, in the order of known_sounds.safetensors.

    Empty if it has no such list.

    Raises:
        SmgError: the list is changed or is not a JSON list of strings.
    """
    if KNOWN_SOUNDS not in checkpoint:
        return []
    path = checkpoint.path(KNOWN_SOUNDS)
    try:
        names = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SmgError(f"{path} is not a JSON list of names; pack the checkpoint again")
    return names


def known_embeddings(checkpoint: Checkpoint) -> np.ndarray:
    """The embeddings of the known sounds, float32 [sounds, dim].

    Raises:
        SmgError: they are changed, or do not fit the names or the settings.
    """
    made = checkpoint.tensors(_EMBEDDINGS).get("embeddings")
    shape = len(known_sounds(checkpoint)), checkpoint.config.embedder.dim
    # Of unit length; the comparison also refuses what is not a number.
    fits = made is not None and made.shape == shape and made.dtype.kind == "f" and abs(made).max(initial=0) < 1.1
    if not fits:
        raise SmgError(f"{checkpoint.directory / _EMBEDDINGS} has no embeddings {list(shape)}; pack the model again")
    return made
