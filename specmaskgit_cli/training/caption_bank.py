"""Embeddings of captions and their paraphrases, computed once and drawn from while training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .captions import paraphrases


class CaptionBank:
    """Embeddings of all wordings of all captions, computed once."""

    def __init__(self, clips, embed_text):
        self.wordings: dict[tuple[str, str], list[int]] = {}
        texts: dict[str, int] = {}
        for clip in clips:
            key = (clip.caption, clip.label)
            if key not in self.wordings:
                words = paraphrases(*key)
                self.wordings[key] = [texts.setdefault(w, len(texts)) for w in words]
        self.embeddings = torch.from_numpy(embed_text(list(texts)))

    def draw(self, clip, rng: np.random.Generator) -> Tensor:
        """The embedding of the caption (one time in four) or of another wording of it."""
        choices = self.wordings[clip.caption, clip.label]
        return self.embeddings[choices[0 if rng.random() < 0.25 else rng.integers(len(choices))]]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each dimension; the deviation at least 0.02, since some hardly vary."""
        return self.embeddings.mean(0), self.embeddings.std(0).clamp(min=0.02)
