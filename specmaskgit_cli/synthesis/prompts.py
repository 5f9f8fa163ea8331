"""What the generator is told to make: texts and sounds in the joint space, styles and contours."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from ..audio.files import read_mono
from ..audio.levels import normalize_peak
from ..checkpoint.card import known_embeddings, known_sounds
from ..checkpoint.layout import Checkpoint
from ..conditioning.bank import Bank, Manner
from ..conditioning.contour import flagged, follow
from ..conditioning.style import Projection
from ..errors import UsageError
from ..options import VARIETY, GenerateOptions
from ..runtime import Runtime
from ..spectrogram.mel import log_mel

INPUT_PEAK_DB = -0.9  # level of all sounds the models were trained on
FAMILIAR = 0.5  # cosine to the nearest known sound below which a prompt is called unfamiliar


class Conditions:
    """What a model makes of prompts and of sounds to go by, and what it knows."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime):
        self.checkpoint, self.runtime, self.config = checkpoint, runtime, checkpoint.config
        self._last: dict[str, np.ndarray] = {}

    def forget(self) -> None:
        """Embed the next text anew, even if it is the last one."""
        self._last.clear()

    def wish(self, options: GenerateOptions) -> tuple[np.ndarray, np.ndarray | None]:
        """The direction in the joint space to go for, [1, D]: the prompt, the sound to resemble, or between them; and
        the style [1, style_dims] of that sound, if there is one."""
        parts, style = [], None
        if options.prompt is not None:
            parts.append((self.text(options.prompt), 1 - options.like_weight if options.like else 1.0))
        if options.like is not None:
            weight = options.like_weight if options.prompt is not None else 1.0
            embedding, style = self._sound(options.like)
            parts.append((embedding, weight))
        total = sum(weight * embedding for embedding, weight in parts)
        return (total / max(float(np.linalg.norm(total)), 1e-6)).astype(np.float32), style

    def text(self, text: str) -> np.ndarray:
        """A text in the joint space, [1, D]; the last one is remembered, as it is asked for more than once."""
        if text not in self._last:
            self._last = {text: self.runtime.embed_text([text])}
        return self._last[text]

    def _sound(self, path: str) -> tuple[np.ndarray, np.ndarray | None]:
        """A sound file in the joint space, [1, D], and its style."""
        config = self.config
        if config.embedder.kind == "clap":
            rate = config.embedder.sample_rate
            style = self.style_of(self._mel(path)) if config.generator.style_dims else None
            return self.runtime.embed_sound(self._read(path, rate), rate), style
        mel = self._mel(path)
        missing = max(0, config.tokenizer.patch_frames - mel.shape[1])
        padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=math.log(config.mel.log_clamp))
        return self.runtime.embed_audio(padded[None]), self.style_of(mel)

    def _mel(self, path: str) -> np.ndarray:
        return log_mel(self._read(path, self.config.mel.sample_rate), self.config.mel)

    def _read(self, path: str, rate: int) -> np.ndarray:
        """A sound file as the models hear it: mono, at a rate and their level; at most the window's length of it."""
        window = self.config.generator.max_columns * self.config.column_samples / self.config.mel.sample_rate
        samples = read_mono(path, rate)[: round(window * rate)]
        if not np.any(samples):
            raise UsageError(f"{path} is silent; name a file with sound in it")
        return normalize_peak(samples, INPUT_PEAK_DB)

    def score(self, mel: np.ndarray, condition: np.ndarray) -> float:
        """How much nearer what is heard in a mel [n_mels, frames] is to a direction [1, D] than to the known sounds in
        the mean, as a difference of cosines: some sounds are near to everything."""
        missing = max(0, self.config.tokenizer.patch_frames - mel.shape[1])
        padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=self.config.mel.scale_min)
        others = self._known.mean(axis=0) if self.sounds else 0.0
        return float(self.runtime.embed_audio(padded[None])[0] @ (condition[0] - others))

    @functools.cached_property
    def sounds(self) -> list[str]:
        """Names of the sounds the model was trained on."""
        return known_sounds(self.checkpoint)

    @functools.cached_property
    def _known(self) -> np.ndarray:
        """Embeddings of `sounds`, float32 [sounds, D]."""
        empty = np.zeros((0, self.config.embedder.dim), np.float32)
        return known_embeddings(self.checkpoint) if self.sounds else empty

    @functools.cached_property
    def bank(self) -> Bank:
        """Manners of the sounds the model was trained on."""
        return Bank.read(self.checkpoint, len(self.sounds))

    def drawn(
        self, condition: np.ndarray, rng: np.random.Generator, columns: int, variety: float = VARIETY,
        like: np.ndarray | None = None, like_weight: float = 0.5,
    ) -> Manner:  # fmt: skip
        """The manner of a known sound that a condition [1, D] is near, for so many columns.

        Args:
            like: the style of a sound to resemble, which has the share `like_weight`; all of it where none is known.
        """
        drawn = self.bank.draw(self._known @ condition[0], rng, columns, variety)
        if like is None:
            return drawn
        return replace(
            drawn, style=like if drawn.style is None else like_weight * like + (1 - like_weight) * drawn.style
        )

    def contour_of(self, mel: np.ndarray, known: np.ndarray) -> np.ndarray | None:
        """What of the contour of a mel [n_mels, frames] some cells tell, bool of its shape: loudness where most of a
        column is known, brightness where all is. None if the model knows no contours."""
        steps, patch = self.config.generator.contour_steps, self.config.tokenizer.patch_frames
        if not steps:
            return None
        share = known.reshape(len(known), -1, patch).mean(axis=(0, 2))
        return flagged(follow(mel[None], self.config.mel, patch, steps)[0], share > 0.5, share == 1)

    def style_of(self, mel: np.ndarray, bands: np.ndarray | None = None) -> np.ndarray | None:
        """The style [1, style_dims] of a mel [n_mels, frames], as `style.Projection` gives it; None if the model knows
        no styles."""
        if not self.config.generator.style_dims:
            return None
        weights = self.runtime.weights("generator")
        projection = Projection(*(weights[f"style_{name}"] for name in ("mean", "scale", "basis")))
        return projection(mel[None], self.config.mel, bands)

    def nearest(self, prompt: str, count: int = 3) -> list[tuple[str, float]]:
        """The known sounds nearest to a text, with their cosines; empty for a model that has no list of them."""
        if not self.sounds:
            return []
        cosines = self._known @ self.text(prompt)[0]
        return [(self.sounds[i], float(cosines[i])) for i in np.argsort(-cosines)[:count]]

    def unfamiliar(self, prompt: str | None) -> tuple[str, ...]:
        """A warning where a prompt is far from all that the model was trained on."""
        nearest = self.nearest(prompt) if prompt else []
        if not nearest or nearest[0][1] >= FAMILIAR:
            return ()
        names = ", ".join(name for name, _ in nearest)
        return (f"{prompt!r} is far from the sounds this model knows; the nearest are: {names}",)
