"""The style of a sound: what its spectrum is like as a whole, whatever happens in it when.

A text says what is to be heard; thousands of sounds are that. The paper conditions on the embedding of a sound (arXiv
2406.17672, section 3.2), which singles one of them out; a small embedder hardly does. So the generator is also told
statistics of the spectrum, as principal components: at generation those of known sounds that fit the text, in edits
those of the sound itself. Without them every token is drawn from the mixture of all sounds that the text may mean,
and neighbours from different ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config.settings import MelConfig

RANGE = 5.0  # nats below the loudest frame, down to which a frame counts
LAGS = (0.012, 0.046, 0.186)  # seconds: how rough the bands are, how fast they swell, how steady they are
STATISTICS = 2 + len(LAGS)  # a band
MIN_SCALE = 0.05
LIMIT = 4.0  # standard deviations
UNHEARD = 0.1  # variance of what the components leave, for the inference from some bands alone


def describe(mel: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Statistics of natural-log mels float32 [B, n_mels, frames]: [B, STATISTICS, n_mels].

    Means, deviations and root mean square changes over LAGS, of the frames that are not much softer than the loudest.
    """
    level = mel.max(axis=1, keepdims=True)
    active = (level > level.max(axis=2, keepdims=True) - RANGE).astype(np.float32)  # [B, 1, frames]
    weight = active / active.sum(axis=2, keepdims=True)
    mean = (weight * mel).sum(axis=2)
    found = [mean, np.sqrt((weight * np.square(mel - mean[:, :, None])).sum(axis=2))]
    for lag in map(cfg.frames, LAGS):
        both = active[:, :, lag:] * active[:, :, :-lag]
        change = np.square(mel[:, :, lag:] - mel[:, :, :-lag])
        found.append(np.sqrt((both * change).sum(axis=2) / np.maximum(both.sum(axis=2), 1)))
    return np.stack(found, axis=1)


@dataclass(frozen=True)
class Projection:
    """Statistics to styles: components of unit variance.

    Attributes:
        mean, scale: float32 [STATISTICS * n_mels], of the statistics.
        basis: float32 [style_dims, STATISTICS * n_mels], to styles from statistics with `mean` 0 and `scale` 1.
    """

    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray

    @classmethod
    def fit(cls, statistics: np.ndarray, dims: int) -> Projection:
        """The principal components of [n, STATISTICS, n_mels]; fewer, and zeros after them, where n is small."""
        flat = statistics.reshape(len(statistics), -1)
        mean, scale = flat.mean(axis=0), flat.std(axis=0) + MIN_SCALE
        _, deviations, axes = np.linalg.svd((flat - mean) / scale, full_matrices=False)
        kept = min(dims, int((deviations > 1e-3 * deviations[0]).sum()))
        basis = np.zeros((dims, flat.shape[1]), np.float32)
        basis[:kept] = axes[:kept] / (deviations[:kept, None] / np.sqrt(len(flat)))
        return cls(mean.astype(np.float32), scale.astype(np.float32), basis)

    def of_statistics(self, statistics: np.ndarray) -> np.ndarray:
        """Styles float32 [n, style_dims] of flat statistics [n, STATISTICS * n_mels]."""
        styles = (statistics - self.mean) / self.scale @ self.basis.T
        return np.clip(styles, -LIMIT, LIMIT).astype(np.float32)

    def __call__(self, mel: np.ndarray, cfg: MelConfig, bands: np.ndarray | None = None) -> np.ndarray:
        """Styles float32 [B, style_dims] of natural-log mels [B, n_mels, frames].

        Args:
            cfg: the front end that made the mels.
            bands: bool [n_mels], those that are known; the most likely style is then that of all such sounds.
        """
        found = (describe(mel, cfg).reshape(len(mel), -1) - self.mean) / self.scale
        if bands is None or bands.all():
            styles = found @ self.basis.T
        else:
            known = np.tile(bands, STATISTICS)
            # Rows of the basis are axes over deviations: their squared lengths give the way back.
            back = self.basis / np.maximum(np.square(self.basis).sum(axis=1, keepdims=True), 1e-12)
            back = back[:, known]
            styles = found[:, known] @ back.T @ np.linalg.inv(back @ back.T + UNHEARD * np.eye(len(back)))
        return np.clip(styles, -LIMIT, LIMIT).astype(np.float32)
