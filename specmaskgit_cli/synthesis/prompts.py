"""From texts and sounds to conditions: embeddings in the joint space, styles and contours."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from ..audio.files import read_mono
from ..audio.levels import normalize_peak
from ..checkpoint.card import known_embeddings, known_sounds
from ..checkpoint.layout import Checkpoint
from ..conditioning.bank import Bank
from ..conditioning.condition import Condition
from ..conditioning.contour import flagged, follow
from ..conditioning.style import Projection
from ..errors import UsageError
from ..options import VARIETY, GenerateOptions, SamplingOptions
from ..runtime import Runtime
from ..spectrogram.mel import log_mel

INPUT_PEAK_DB = -0.9  # level of all sounds the models were trained on
FAMILIAR = 0.5  # cosine to the nearest known sound below which a prompt is called unfamiliar


class Prompts:
    """From prompts, and from sounds to go by, to conditions; and what a model knows."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime):
        self.checkpoint, self.runtime, self.config = checkpoint, runtime, checkpoint.config
        self._last: dict[str, np.ndarray] = {}

    def forget(self) -> None:
        """Embed the next text anew, even if it is the last one."""
        self._last.clear()

    def condition(self, options: SamplingOptions) -> Condition | None:
        """What options ask for; None where they name nothing, so that an edit goes by the sound that stays.

        For a sound to generate it is the prompt, the sound to resemble, or between them, with the style of that sound.

        Raises:
            SmgError: a sound to resemble that cannot be read, or is silent.
        """
        text = None if options.prompt is None else self.text(options.prompt)
        if isinstance(options, GenerateOptions):
            return self.between(text, self._like(options.like) if options.like else None, options.like_weight)
        return None if text is None else Condition(text)

    def between(self, text: np.ndarray | None, sound: Condition | None, weight: float) -> Condition:
        """A text [1, D], a sound, or in a direction between both, where the sound has a share of `weight`."""
        parts = [] if text is None else [(1 - weight if sound else 1.0, text)]
        if sound:
            parts.append((weight if parts else 1.0, sound.embedding))
        total = sum(share * embedding for share, embedding in parts)
        embedding = (total / max(float(np.linalg.norm(total)), 1e-6)).astype(np.float32)
        return Condition(embedding, sound and sound.style)

    def text(self, text: str) -> np.ndarray:
        """A text in the joint space, [1, D]; the last one is remembered, as it is asked for more than once."""
        if text not in self._last:
            self._last = {text: self.runtime.embed_text([text])}
        return self._last[text]

    def of_mel(self, mel: np.ndarray, bands: np.ndarray | None = None) -> Condition:
        """Embedding and style of a mel [n_mels, frames] of a patch or more; `bands` as of `style_of`."""
        return Condition(self.runtime.embed_audio(mel[None]), self.style_of(mel, bands))

    def _like(self, path: str) -> Condition:
        """Embedding and style of a sound file."""
        config, mel = self.config, self._mel(path)
        if config.embedder.kind == "clap":
            rate = config.embedder.sample_rate
            return Condition(self.runtime.embed_sound(self._read(path, rate), rate), self.style_of(mel))
        return Condition(self._embed(mel), self.style_of(mel))

    @property
    def hearing_rate(self) -> int:
        """The sample rate in Hz that `hear` takes."""
        config = self.config
        return config.embedder.sample_rate if config.embedder.kind == "clap" else config.mel.sample_rate

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """A mono sound float32 [n] of any level at `hearing_rate` in the joint space, [1, D]."""
        loud = normalize_peak(samples, INPUT_PEAK_DB)
        if self.config.embedder.kind == "clap":
            return self.runtime.embed_sound(loud, self.hearing_rate)
        return self._embed(log_mel(loud, self.config.mel))

    def _embed(self, mel: np.ndarray) -> np.ndarray:
        """A mel [n_mels, frames] of any length in the joint space, [1, D]."""
        missing = max(0, self.config.tokenizer.patch_frames - mel.shape[1])
        padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=math.log(self.config.mel.log_clamp))
        return self.runtime.embed_audio(padded[None])

    def _mel(self, path: str) -> np.ndarray:
        return log_mel(self._read(path, self.config.mel.sample_rate), self.config.mel)

    def _read(self, path: str, rate: int) -> np.ndarray:
        """A sound file as the models hear it: mono, at a rate and their level; at most the window's length of it."""
        window = self.config.generator.max_columns * self.config.column_samples / self.config.mel.sample_rate
        samples = read_mono(path, rate)[: round(window * rate)]
        if not np.any(samples):
            raise UsageError(f"{path} is silent; name a file with sound in it")
        return normalize_peak(samples, INPUT_PEAK_DB)

    def score(self, mel: np.ndarray, embedding: np.ndarray) -> float:
        """How much nearer the sound of a mel [n_mels, frames] is to an embedding [1, D] than to the known sounds in the
        mean, as a difference of cosines: some sounds are near to everything."""
        missing = max(0, self.config.tokenizer.patch_frames - mel.shape[1])
        padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=self.config.mel.scale_min)
        others = self._known.mean(axis=0) if self.sounds else 0.0
        return float(self.runtime.embed_audio(padded[None])[0] @ (embedding[0] - others))

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
        """Styles and contours of the sounds the model was trained on."""
        return Bank.read(self.checkpoint, len(self.sounds))

    def drawn(
        self, condition: Condition, rng: np.random.Generator, columns: int = 0, variety: float = VARIETY,
        style_share: float = 1.0,
    ) -> Condition:  # fmt: skip
        """A condition with style and contour drawn from a known sound that its embedding is near.

        Args:
            columns: of the contour.
            style_share: share of the condition's own style, if it has one; all of it where no sounds are known.
        """
        cosines = self._known @ condition.embedding[0]
        found, own = self.bank.draw(condition, cosines, rng, columns, variety), condition.style
        if own is None or found is condition:
            return found
        return replace(found, style=style_share * own + (1 - style_share) * found.style)

    def contour_of(self, mel: np.ndarray, known: np.ndarray) -> np.ndarray | None:
        """The contour of a mel [n_mels, frames] as far as its `known` cells, bool of the same shape, show it: loudness
        where most of a column is known, brightness where all is. None if the model knows no contours."""
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
