"""The models on ONNX Runtime, without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..errors import SmgError
from .base import Runtime


class OnnxRuntime(Runtime):
    """CPU inference; graphs hold no weights and are given those of the safetensors files."""

    backend = "onnx"

    def __init__(self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | None = None):
        super().__init__(checkpoint, threads, vocoder)
        self._sessions: dict[str, object] = {}
        self._inputs: dict[str, set[str]] = {}

    def _run(self, graph: str, *shape: int, **inputs: np.ndarray) -> np.ndarray:
        """The output of a graph, which has to be of a shape and finite: files that were checked can still be wrong."""
        session = self._session(graph)
        try:
            made = session.run(None, inputs)[0]
        except Exception as error:  # as in _open
            if "alloc" in str(error):
                raise MemoryError from None
            raise self._misfit(graph, str(error)) from None
        if getattr(made, "shape", None) != shape:
            raise self._misfit(graph, f"gives {getattr(made, 'shape', 'no array')}, not {shape}")
        if not np.isfinite(made).all():
            raise self._misfit(graph, "gives values that are infinite or not a number")
        return made

    def _session(self, graph: str):
        if graph not in self._sessions:
            self._sessions[graph] = self._open(graph)
        return self._sessions[graph]

    def _takes(self, graph: str, name: str) -> bool:
        """Whether a graph has an input; those that earlier versions packed have fewer."""
        session = self._session(graph)
        if graph not in self._inputs:
            self._inputs[graph] = {item.name for item in session.get_inputs()}
        return name in self._inputs[graph]

    def _misfit(self, graph: str, reason: str) -> SmgError:
        path = self.source(graph).directory / f"onnx/{graph}.onnx"
        reason = reason.splitlines()[0] if reason else "no reason given"
        return SmgError(f"{path}: does not fit the files beside it ({reason}); pull or pack the model again")

    def _open(self, graph: str):
        from . import ort

        path = self.source(graph).path(f"onnx/{graph}.onnx")
        options = ort.session_options(self.threads)
        weights = self.weights(graph)
        names = _names(self.source(graph).path(f"onnx/{graph}.json"))
        missing = [name for name in names if name not in weights]
        if missing:
            raise SmgError(f"{path}: the weights beside it have no {missing[0]!r}; pull or pack it again")
        try:
            return ort.open_session(path, options, {name: weights[name] for name in names})
        except SmgError:
            raise
        except Exception as error:  # as open_session says
            reason = str(error).splitlines()[0]
            raise SmgError(f"{path}: does not fit the weights beside it ({reason}); pull or pack it again") from None

    def tower(self, mel):
        return self._run("audio_encoder", len(mel), self.config.embedder.dim, mel=mel)

    def clap(self, features):
        return self._run("audio_encoder", len(features), self.config.embedder.dim, features=features)

    def encode(self, mel):
        shape = self.config.rows, mel.shape[2] // self.config.tokenizer.patch_frames, self.config.tokenizer.levels
        return self._run("tokenizer_encoder", len(mel), *shape, mel=mel)

    def decode(self, tokens, noise):
        return self._run("tokenizer_decoder", *noise.shape, tokens=tokens, noise=noise)

    def hidden(self, tokens, mask, condition, dropped, cells):
        inputs = {"tokens": tokens, "mask": mask, "condition": condition, "dropped": dropped}
        width = self.config.generator.width
        if self._takes("generator", "cells"):
            return self._run("generator", *cells.shape, width, **inputs, cells=cells)
        states = self._run("generator", len(tokens), mask[0].size, width, **inputs)
        return np.take_along_axis(states, cells[..., None], 1)

    def features(self, tokens, mask, condition, dropped):
        if "onnx/features.onnx" not in self.checkpoint:
            raise SmgError(
                f"{self.checkpoint.directory} has no onnx/features.onnx; pack it again, or use --backend torch"
            )
        shape = len(tokens), self.config.generator.layers + 1, mask[0].size, self.config.generator.width
        return self._run("features", *shape, tokens=tokens, mask=mask, condition=condition, dropped=dropped)

    def logits(self, hidden, codes, level, against, scale):
        inputs = {"hidden": hidden, "codes": codes, "level": np.array(level, np.int64)}
        size = self.config.tokenizer.codebook_size
        if self._takes("head", "against"):
            return self._run("head", len(scale), size, **inputs, against=against, scale=scale)
        logits = self._run("head", len(hidden), size, **inputs)
        own = logits[: len(scale)]
        return own + scale[:, None] * (own - logits[against])

    def vocode(self, mel):
        return self._run("vocoder", len(mel), mel.shape[2] * self.config.mel.hop_length, mel=mel)

    def estimate(self, found, known, heard):
        return self._run("envelope", *found.shape[:2], known.shape[1], found=found, known=known, heard=heard)


def _names(path: Path) -> list[str]:
    """The weights a graph is to be given. Raises SmgError for a file that is no list of names."""
    try:
        names = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SmgError(f"{path} is not a JSON list of names; pull or pack the model again")
    return names
