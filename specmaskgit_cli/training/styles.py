"""The bank of styles of a checkpoint, from which those of generated sounds are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ..config import CheckpointConfig
from ..style import FILE, Projection, StyleBank
from .canvas import CanvasMaker
from .data import ClipCache
from .generator import TYPICAL

PER_SOUND = 12  # styles of a known sound, of those of its clips that fit its name best
CONSIDERED = 48


def style_bank(
    clips: ClipCache, config: CheckpointConfig, projection: Projection, labels: list[str], embeddings: np.ndarray,
    embed_audio=None,
) -> StyleBank:  # fmt: skip
    """Styles of the clips of each label, as the generator meets them in training.

    Args:
        labels: of the clips, and embeddings [labels, D] of what they are called.
        embed_audio: natural-log mel [B, n_mels, frames] -> float32 [B, D]; the clips are chosen by it, or at random.
    """
    maker, frames = CanvasMaker(clips, config.mel), TYPICAL * config.tokenizer.patch
    styles, sounds = [], []
    for index, label in enumerate(labels):
        rng = np.random.default_rng(index)
        own = [clip for clip in clips.clips if clip.label == label]
        chosen = [own[i] for i in rng.permutation(len(own))[:CONSIDERED]]
        mels = np.stack([maker.canvas(clip, rng, frames).T for clip in chosen])
        if embed_audio is not None and len(mels) > PER_SOUND:
            mels = mels[np.argsort(-(embed_audio(mels) @ embeddings[index]))]
        styles.append(projection(mels[:PER_SOUND]))
        sounds.append(np.full(len(styles[-1]), index))
    return StyleBank(np.concatenate(styles), np.concatenate(sounds))


def write_styles(folder: Path, *banks: StyleBank) -> None:
    """All banks as one into a checkpoint's directory."""
    path = folder / FILE
    styles = np.concatenate([bank.styles for bank in banks]).astype(np.float16)
    save_file({"styles": styles, "sounds": np.concatenate([bank.sounds for bank in banks]).astype(np.int32)}, path)
    path.chmod(0o644)
