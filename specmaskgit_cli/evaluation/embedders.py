"""What turns sounds into vectors for the distances: the model's own audio tower, CLAP, or any that is plugged in."""

from __future__ import annotations

import math
from importlib import metadata
from typing import Protocol

import numpy as np

from ..audio.files import resample
from ..audio.levels import normalize_peak
from ..errors import SmgError, UsageError
from ..pipeline import Pipeline
from ..spectrogram.mel import log_mel
from ..synthesis.prompts import INPUT_PEAK_DB

PLUGINS = "specmaskgit_cli.embedders"  # entry points of other packages: functions without arguments that return one
CLAP = "laion/clap-htsat-unfused"


class Embedder(Protocol):
    """What the distances ask of a model. One that also knows texts has `embed_text`, in the same space."""

    name: str

    def embed(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Mono float32 [n] in [-1, 1] to a vector float32 [D]."""


class OwnEmbedder:
    """The audio tower of the model that is measured, whose space the prompts live in too."""

    name = "own"

    def __init__(self, pipe: Pipeline):
        self.runtime, self.config = pipe.runtime, pipe.config

    def embed(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Unit length. A sound is brought to the level of those the model was trained on."""
        cfg = self.config.mel
        mel = log_mel(normalize_peak(resample(waveform, rate, cfg.sample_rate), INPUT_PEAK_DB), cfg)
        missing = max(0, self.config.tokenizer.patch_frames - mel.shape[1])
        return self.embed_mel(np.pad(mel, ((0, 0), (0, missing)), constant_values=math.log(cfg.log_clamp)))

    def embed_mel(self, mel: np.ndarray) -> np.ndarray:
        """Natural-log mel [n_mels, frames] to a unit vector."""
        return self.runtime.embed_audio(mel[None].astype(np.float32, copy=False))[0]

    def embed_text(self, texts: list[str]) -> np.ndarray:
        """Texts to unit vectors float32 [n, D]."""
        return self.runtime.embed_text(texts)


class ClapEmbedder:
    """A CLAP of the transformers library (Wu et al., arXiv 2211.06687), by its name on the Hub or its directory."""

    RATE = 48000

    def __init__(self, name: str = CLAP):
        try:
            from transformers import ClapModel, ClapProcessor  # isort: skip (absent more often than torch)
            import torch
        except ImportError:
            raise SmgError("the CLAP embedder needs transformers and torch; pip install transformers torch") from None
        self.name, self.torch = name, torch
        try:
            self.model, self.processor = ClapModel.from_pretrained(name).eval(), ClapProcessor.from_pretrained(name)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise SmgError(f"--embedder {name}: no CLAP to be had ({reason}); check the name and the network") from None

    def embed(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Unit length. Sounds below 10 s are repeated up to them, as the processor has it."""
        features = self.processor.feature_extractor(
            resample(waveform, rate, self.RATE), sampling_rate=self.RATE, return_tensors="pt"
        )
        return self._unit(self.model.get_audio_features, features)[0]

    def embed_text(self, texts: list[str]) -> np.ndarray:
        """Texts to unit vectors float32 [n, D]."""
        return self._unit(
            self.model.get_text_features, self.processor.tokenizer(texts, padding=True, return_tensors="pt")
        )

    def _unit(self, function, inputs) -> np.ndarray:
        with self.torch.inference_mode():
            out = function(**inputs)
        vectors = getattr(out, "pooler_output", out).numpy()  # version 5 of the library returns more than the tensor
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_embedder(name: str, pipe: Pipeline) -> Embedder:
    """The embedder of a name: "own", "clap", a CLAP of the Hub ("owner/name"), or one that a package plugs in.

    Raises:
        SmgError: there is none, or what it needs is not installed.
    """
    if name == "own":
        return OwnEmbedder(pipe)
    if name == "clap" or "/" in name:
        return ClapEmbedder(CLAP if name == "clap" else name)
    plugins = {point.name: point for point in metadata.entry_points(group=PLUGINS)}
    if name not in plugins:
        known = ", ".join(["own", "clap", "owner/name of a CLAP on the Hub", *sorted(plugins)])
        raise UsageError(f"no embedder {name!r}; use {known}, or install a package that brings one")
    return plugins[name].load()()
