"""What the pipeline and the decoding core ask of a model, in numpy arrays."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..conditioning.condition import with_guidance
from ..errors import SmgError

# Which safetensors file holds the weights of each graph.
WEIGHTS = {
    "tokenizer_encoder": "tokenizer.safetensors",
    "tokenizer_decoder": "tokenizer.safetensors",
    "generator": "generator.safetensors",
    "features": "generator.safetensors",
    "head": "generator.safetensors",
    "audio_encoder": "audio_encoder.safetensors",
    "vocoder": "vocoder.safetensors",
    "envelope": "envelope.safetensors",
}


class Runtime(ABC):
    """A checkpoint's models. Shapes: mel float32 [B, n_mels, frames] in nats, tokens int64 [B, rows, columns, levels].

    Models are loaded when they are first used.
    """

    backend: str

    def __init__(self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | None = None):
        """`vocoder`: the checkpoint to take the vocoder from, if not this one."""
        self.checkpoint, self.config, self.threads = checkpoint, checkpoint.config, threads
        self._vocoder = vocoder or checkpoint
        self._tensors: dict[str, dict[str, np.ndarray]] = {}

    @property
    def guidance(self) -> float:
        """As `decoding.Predictor` has it."""
        return self.config.generator.guidance

    def with_guidance(self, condition: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """As `decoding.Predictor` has it."""
        return with_guidance(condition, scale, self.config.generator)

    @functools.cached_property
    def text(self):
        """The text encoder; on ONNX Runtime in every backend, so that a prompt means the same in all of them."""
        from .text import TextEncoder

        files = self.checkpoint.path("onnx/text_encoder.onnx"), self.checkpoint.path("text/tokenizer.json")
        return TextEncoder(*files, max_tokens=self.config.embedder.max_text_tokens, threads=self.threads)

    def embed_text(self, texts: list[str]) -> np.ndarray:
        """Texts to conditions, float32 [B, D], unit length."""
        made = self.text(texts)
        if made.shape[1] != self.config.embedder.dim:
            size = f"{made.shape[1]} numbers a text, and its settings say {self.config.embedder.dim}"
            raise SmgError(f"{self.checkpoint.directory}: its text encoder gives {size}; pull or pack the model again")
        return made

    def source(self, graph: str) -> Checkpoint:
        """The checkpoint that a graph comes from."""
        return self._vocoder if graph == "vocoder" else self.checkpoint

    def weights(self, graph: str) -> dict[str, np.ndarray]:
        """Float32 parameters of a graph's model by name. The generator is tied to the tokenizer's codebooks."""
        file = WEIGHTS[graph]
        if file not in self._tensors:
            self._tensors[file] = self.source(graph).tensors(file)
            if file == "generator.safetensors":
                tokenizer = self.weights("tokenizer_encoder")
                if "quantizer.codebooks" not in tokenizer:
                    path = self.checkpoint.directory / WEIGHTS["tokenizer_encoder"]
                    raise SmgError(f"{path} has no 'quantizer.codebooks'; pull or pack the model again")
                self._tensors[file]["codebooks"] = tokenizer["quantizer.codebooks"]
        return self._tensors[file]

    def embed_audio(self, mel: np.ndarray) -> np.ndarray:
        """Mel to conditions, float32 [B, D], unit length."""
        if self.config.embedder.kind != "clap":
            return self.tower(mel)
        from ..spectrogram.clap import clap_spectrogram_of_mel

        return self._clap([clap_spectrogram_of_mel(item, self.config.mel, self.config.embedder) for item in mel])

    def embed_sound(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """A mono sound float32 [n] to a condition [1, D], by a CLAP, which hears more of it than its mel tells."""
        from ..spectrogram.clap import clap_spectrogram

        return self._clap([clap_spectrogram(samples, rate, self.config.embedder)])

    def _clap(self, spectrograms: list[np.ndarray]) -> np.ndarray:
        """One by one: a spectrogram of 10 s fills the caches of a CPU."""
        return np.concatenate([self.clap(spectrogram[None]) for spectrogram in spectrograms])

    @abstractmethod
    def tower(self, mel: np.ndarray) -> np.ndarray:
        """`embed_audio` by the audio tower."""

    @abstractmethod
    def clap(self, features: np.ndarray) -> np.ndarray:
        """Spectrograms [B, 1, frames, n_mels] of a CLAP's own front end to conditions."""

    @abstractmethod
    def encode(self, mel: np.ndarray) -> np.ndarray:
        """Mel, frames a multiple of the patch, to tokens."""

    @abstractmethod
    def decode(self, tokens: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Tokens and standardised noise [B, n_mels, frames] to mel."""

    @abstractmethod
    def hidden(
        self, tokens: np.ndarray, mask: np.ndarray, condition: np.ndarray, dropped: np.ndarray, cells: np.ndarray
    ) -> np.ndarray:
        """The generator's last hidden states at the `cells` int64 [B, M] of each grid: float32 [B, M, width]."""

    @abstractmethod
    def features(self, tokens: np.ndarray, mask: np.ndarray, condition: np.ndarray, dropped: np.ndarray) -> np.ndarray:
        """Its hidden states before the first layer and after each, float32 [B, layers + 1, rows * columns, width].

        Raises:
            SmgError: the checkpoint has no graph for them.
        """

    @abstractmethod
    def logits(
        self, hidden: np.ndarray, codes: np.ndarray, level: int, against: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """Guided logits of a level, as `decoding.Predictor` has it."""

    @abstractmethod
    def vocode(self, mel: np.ndarray) -> np.ndarray:
        """Mel to waveform, float32 [B, frames * hop]; for checkpoints with a neural vocoder."""

    @abstractmethod
    def estimate(self, found: np.ndarray, known: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """Levels float32 [B, steps, bands] of a sound's missing bands, as `models.envelope` has it; for checkpoints
        whose envelope has a width."""
