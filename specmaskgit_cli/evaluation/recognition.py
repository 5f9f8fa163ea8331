"""Zero-shot recognition in the joint space: is a sound nearest to what it should be, among all known sounds?"""

from __future__ import annotations

import numpy as np

from ..pipeline import Pipeline
from .distances import share_error


class Recogniser:
    """All sounds that a model knows, as points of its text-audio space.

    Args:
        labels: take their place where the model has no list of known sounds.
    """

    def __init__(self, pipe: Pipeline, labels: list[str]):
        if pipe.engine.prompts.sounds:
            self.names = pipe.engine.prompts.sounds
            self.embeddings = pipe.checkpoint.tensors("known_sounds.safetensors")["embeddings"].astype(np.float32)
        else:
            self.names = sorted(set(labels))
            self.embeddings = pipe.runtime.embed_text(self.names)

    def kinds(self, texts: list[str], embeddings: np.ndarray) -> np.ndarray:
        """The known sound that each text is the name of, or else whose point is nearest to its embedding [n, D]: int64
        [n]."""
        found = np.argmax(embeddings @ self.embeddings.T, axis=1)
        places = {name: place for place, name in enumerate(self.names)}
        return np.array([places.get(text, nearest) for text, nearest in zip(texts, found, strict=True)])

    def ranks(self, audio: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Place of each sound's kind among all, by cosine to the embeddings [n, D]: int64 [n], 1 is the nearest."""
        cosines = audio @ self.embeddings.T
        wanted = np.take_along_axis(cosines, kinds[:, None], axis=1)
        return 1 + (cosines > wanted).sum(axis=1)


def measure(ranks: np.ndarray) -> dict[str, float]:
    """Shares of the ranks that are 1, and at most 5, with their standard errors."""
    shares = {"hit1": float((ranks == 1).mean()), "hit5": float((ranks <= 5).mean())}
    return shares | {f"{name}_error": share_error(share, len(ranks)) for name, share in shares.items()}
