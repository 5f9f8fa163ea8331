"""Embeddings of captions and their paraphrases, computed once and drawn from while training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import distributed
from .captions import paraphrases

CAPTION_SHARE = 0.25  # of the examples that get the caption itself


class CaptionBank:
    """Embeddings of all wordings of all captions, computed once, by all processes that train together.

    Args:
        device: on which the processes exchange them.
    """

    def __init__(self, clips, embed_text, device="cpu"):
        self.wordings: dict[tuple[str, str], list[int]] = {}
        texts: dict[str, int] = {}
        for clip in clips:
            key = (clip.caption, clip.label)
            if key not in self.wordings:
                words = paraphrases(*key)
                self.wordings[key] = [texts.setdefault(w, len(texts)) for w in words]
        mine = slice(distributed.rank(), None, distributed.size())
        embedded = torch.from_numpy(embed_text(list(texts)[mine])).to(device)
        self.embeddings = embedded.new_zeros(len(texts), embedded.shape[1])
        self.embeddings[mine] = embedded
        distributed.add_up(self.embeddings)
        self.embeddings = self.embeddings.cpu()

    def draw(self, clip, rng: np.random.Generator) -> Tensor:
        """The embedding of the caption (one time in four) or of another wording of it."""
        choices = self.wordings[clip.caption, clip.label]
        return self.embeddings[choices[0 if rng.random() < CAPTION_SHARE else rng.integers(len(choices))]]

    def table(self, clips) -> tuple[Tensor, Tensor]:
        """Rows of `embeddings` for the wordings of each clip, the caption itself first: int64 [clips, most], filled up
        with that; and how many each has, int64 [clips]."""
        rows = [self.wordings[clip.caption, clip.label] for clip in clips]
        most = max(map(len, rows))
        filled = [row + row[:1] * (most - len(row)) for row in rows]
        return torch.tensor(filled), torch.tensor([len(row) for row in rows])


def standardisation(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each dimension of [n, D]; the deviation at least 0.02, since some hardly vary."""
    return embeddings.mean(0), embeddings.std(0).clamp(min=0.02)
