"""What the pipeline and the decoding core ask of a model, in numpy arrays."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..conditioning.condition import with_guidance
from ..config.settings import VocoderConfig
from ..errors import SmgError
from ..models.parts import NETWORKS, PARTS, TEXT_FILES, VOCODER, Network, Part
from .vocoder import open_vocoder

if TYPE_CHECKING:
    from ..spectrogram.griffin_lim import Known
    from .text import TextEncoder

# Is entered around a computation, with the name of its graph, or "vocode", and its inputs by name.
Observer = Callable[[str, Mapping[str, np.ndarray]], AbstractContextManager]


class Runtime(ABC):
    """A checkpoint's models. Shapes: mel float32 [B, n_mels, frames] in nats, tokens int64 [B, rows, columns, levels].

    Models are loaded when they are first used.

    Attributes:
        observers: are entered around every computation, to time or to count it.
    """

    backend: str

    def __init__(self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | VocoderConfig | None = None):
        """`vocoder`: another checkpoint to take the vocoder from, or the settings of one that needs no weights."""
        self.checkpoint, self.config, self.threads = checkpoint, checkpoint.config, threads
        self.observers: list[Observer] = []
        self._lender = vocoder if isinstance(vocoder, Checkpoint) else checkpoint
        settings = vocoder if isinstance(vocoder, VocoderConfig) else self._lender.config.vocoder
        self._vocoder = open_vocoder(settings, self.config.mel, lambda mel: self.run("vocoder", mel=mel))
        self._tensors: dict[str, dict[str, np.ndarray]] = {}

    @property
    def guidance(self) -> float:
        """As `decoding.Predictor` has it."""
        return self.config.generator.guidance

    def with_guidance(self, condition: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """As `decoding.Predictor` has it."""
        return with_guidance(condition, scale, self.config.generator)

    @functools.cached_property
    def text_encoder(self) -> TextEncoder:
        """On ONNX Runtime in every backend, so that a prompt means the same in all of them."""
        from .text import TextEncoder

        files = (self.checkpoint.path(file) for file in TEXT_FILES)
        return TextEncoder(*files, max_tokens=self.config.embedder.max_text_tokens, threads=self.threads)

    def checkpoint_of(self, graph: str) -> Checkpoint:
        """The checkpoint that a graph comes from: only the vocoder may be another's."""
        return self._lender if PARTS[graph].network is VOCODER else self.checkpoint

    def weights(self, graph: str) -> dict[str, np.ndarray]:
        """Float32 parameters of a graph's network by name, with those that it shares with another."""
        return self._weights(PARTS[graph].network, self.checkpoint_of(graph))

    def _weights(self, network: Network, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
        if network.section not in self._tensors:
            tensors = checkpoint.tensors(network.weights)
            for name, (section, theirs) in network.shared.items():
                others = self._weights(NETWORKS[section], checkpoint)
                if theirs not in others:
                    path = checkpoint.directory / NETWORKS[section].weights
                    raise SmgError(f"{path} has no {theirs!r}; pull or pack the model again")
                tensors[name] = others[theirs]
            self._tensors[network.section] = tensors
        return self._tensors[network.section]

    def run(self, graph: str, **inputs: np.ndarray) -> np.ndarray:
        """Compute a graph that `models.parts` describes: its output for its inputs by name.

        Raises:
            SmgError: the checkpoint has no such graph, or its files do not fit each other.
        """
        with self._observed(graph, inputs):
            return self._compute(PARTS[graph], inputs)

    @abstractmethod
    def _compute(self, part: Part, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """`run` on this backend."""

    @contextmanager
    def _observed(self, name: str, inputs: Mapping[str, np.ndarray]) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self.observers:
                stack.enter_context(observer(name, inputs))
            yield

    def embed_text(self, texts: list[str]) -> np.ndarray:
        """Texts to conditions, float32 [B, D], unit length."""
        with self._observed("text_encoder", {"texts": np.array(texts)}):
            made = self.text_encoder(texts)
        if made.shape[1] != self.config.embedder.dim:
            size = f"{made.shape[1]} numbers a text, and its settings say {self.config.embedder.dim}"
            raise SmgError(f"{self.checkpoint.directory}: its text encoder gives {size}; pull or pack the model again")
        return made

    def embed_audio(self, mel: np.ndarray) -> np.ndarray:
        """Mel to conditions, float32 [B, D], unit length."""
        if self.config.embedder.kind != "clap":
            return self.run("audio_encoder", mel=mel)
        from ..spectrogram.clap import clap_spectrogram_of_mel

        return self._clap([clap_spectrogram_of_mel(item, self.config.mel, self.config.embedder) for item in mel])

    def embed_sound(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """A mono sound float32 [n] to a condition [1, D], by a CLAP, which hears more of it than its mel tells."""
        from ..spectrogram.clap import clap_spectrogram

        return self._clap([clap_spectrogram(samples, rate, self.config.embedder)])

    def _clap(self, spectrograms: list[np.ndarray]) -> np.ndarray:
        """One by one: a spectrogram of 10 s fills the caches of a CPU."""
        return np.concatenate([self.run("audio_encoder", features=item[None]) for item in spectrograms])

    def encode(self, mel: np.ndarray) -> np.ndarray:
        """Mel, frames a multiple of the patch, to tokens."""
        return self.run("tokenizer_encoder", mel=mel)

    def decode_tokens(self, tokens: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Tokens and standardised noise [B, n_mels, frames] to mel."""
        return self.run("tokenizer_decoder", tokens=tokens, noise=noise)

    def hidden(
        self, tokens: np.ndarray, mask: np.ndarray, condition: np.ndarray, dropped: np.ndarray, cells: np.ndarray
    ) -> np.ndarray:
        """The generator's last hidden states at the `cells` int64 [B, M] of each grid: float32 [B, M, width]."""
        return self.run("generator", tokens=tokens, mask=mask, condition=condition, dropped=dropped, cells=cells)

    def features(self, tokens: np.ndarray, mask: np.ndarray, condition: np.ndarray, dropped: np.ndarray) -> np.ndarray:
        """Its hidden states before the first layer and after each, float32 [B, layers + 1, rows * columns, width].

        Raises:
            SmgError: the checkpoint has no graph for them.
        """
        return self.run("features", tokens=tokens, mask=mask, condition=condition, dropped=dropped)

    def logits(
        self, hidden: np.ndarray, codes: np.ndarray, level: int, against: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """Guided logits of a level, as `decoding.Predictor` has it."""
        level = np.array(level, np.int64)
        return self.run("head", hidden=hidden, codes=codes, level=level, against=against, scale=scale)

    def vocode(self, mel: np.ndarray, rng: np.random.Generator, known: Known | None = None) -> np.ndarray:
        """One mel [n_mels, frames] to a waveform float32 [frames * hop_length], as `vocoder.Vocoder` has it."""
        with self._observed("vocode", {"mel": mel}):
            return self._vocoder.vocode(mel, rng, known)

    def estimate_envelope(self, found: np.ndarray, known: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """Levels float32 [B, steps, bands] of a sound's missing bands, as `models.envelope` has it; for checkpoints
        whose envelope has a width."""
        return self.run("envelope", found=found, known=known, heard=heard)
