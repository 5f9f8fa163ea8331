"""Makes the bank of a checkpoint: styles and contours of known sounds, from which those of new sounds are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ..conditioning.bank import FILE, Bank
from ..conditioning.contour import follow, to_bytes
from ..conditioning.style import Projection
from ..config.settings import CheckpointConfig
from ..data.canvas import TYPICAL_SECONDS, CanvasMaker
from ..data.clips import ClipCache
from ..durable import usual_rights

PER_SOUND = 12  # entries of a known sound: its clips that fit its name best
CONSIDERED = 48


def make_bank(
    clips: ClipCache, config: CheckpointConfig, projection: Projection, labels: list[str], embeddings: np.ndarray,
    embed_audio=None,
) -> Bank:  # fmt: skip
    """Styles and contours of the clips of each label, as the generator meets them in training.

    Args:
        labels: of the clips, and embeddings [labels, D] of what they are called.
        embed_audio: natural-log mel [B, n_mels, frames] -> float32 [B, D]; the clips are chosen by it, or at random.
    """
    maker, patch, steps = CanvasMaker(clips, config.mel), config.tokenizer.patch_frames, config.generator.contour_steps
    columns = config.columns(TYPICAL_SECONDS)
    styles, sounds, contours = [], [], []
    for index, label in enumerate(labels):
        rng = np.random.default_rng(index)
        own = [clip for clip in clips.clips if clip.label == label]
        chosen = [own[i] for i in rng.permutation(len(own))[:CONSIDERED]]
        mels = np.stack([maker.canvas(clip, rng, columns * patch).T for clip in chosen])
        if embed_audio is not None and len(mels) > PER_SOUND:
            mels = mels[np.argsort(-(embed_audio(mels) @ embeddings[index]))]
        mels = mels[:PER_SOUND]
        styles.append(projection(mels, config.mel))
        sounds.append(np.full(len(mels), index))
        followed = follow(mels, config.mel, patch, steps) if steps else np.zeros((len(mels), columns, 0), np.float32)
        contours.append(to_bytes(followed))
    return Bank(np.concatenate(styles), np.concatenate(sounds), np.concatenate(contours))


def write_bank(folder: Path, *banks: Bank) -> None:
    """All banks as one into a checkpoint's directory."""
    tensors = {
        "styles": np.concatenate([bank.styles for bank in banks]).astype(np.float16),
        "sounds": np.concatenate([bank.sounds for bank in banks]).astype(np.int32),
    }
    contours = np.concatenate([bank.contours for bank in banks if len(bank.styles)])
    path = folder / FILE
    save_file(tensors | ({"contours": contours} if contours.shape[2] else {}), path)
    usual_rights(path)
