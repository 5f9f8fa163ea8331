"""The models on ONNX Runtime, without torch."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..config.settings import VocoderConfig
from ..errors import SmgError
from ..models.parts import PARTS
from .base import Runtime


class OnnxRuntime(Runtime):
    """CPU inference; graphs hold no weights and are given those of the safetensors files."""

    backend = "onnx"

    def __init__(self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | VocoderConfig | None = None):
        super().__init__(checkpoint, threads, vocoder)
        self._sessions: dict[str, object] = {}
        self._inputs: dict[str, set[str]] = {}

    def _compute(self, part, inputs):
        if part.graph == "generator" and not self._takes("generator", "cells"):
            return self._cells_of_all(**inputs)
        if part.graph == "head" and not self._takes("head", "against"):
            return self._guided_afterwards(**inputs)
        return self._run(part.graph, part.signature(self.config).output_shape(inputs), inputs)

    def _cells_of_all(self, cells: np.ndarray, **inputs: np.ndarray) -> np.ndarray:
        """Hidden states by a graph that earlier versions packed, which gives those of all cells."""
        batch, *grid = inputs["mask"].shape
        states = self._run("generator", (batch, math.prod(grid), self.config.generator.width), inputs)
        return np.take_along_axis(states, cells[..., None], 1)

    def _guided_afterwards(self, against: np.ndarray, scale: np.ndarray, **inputs: np.ndarray) -> np.ndarray:
        """Logits by a graph that earlier versions packed, which knows no guidance."""
        logits = self._run("head", (len(inputs["hidden"]), self.config.tokenizer.codebook_size), inputs)
        own = logits[: len(scale)]
        return own + scale[:, None] * (own - logits[against])

    def _run(self, graph: str, shape: tuple[int, ...], inputs: dict[str, np.ndarray]) -> np.ndarray:
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
        path = self.checkpoint_of(graph).directory / PARTS[graph].file
        reason = reason.splitlines()[0] if reason else "no reason given"
        return SmgError(f"{path}: does not fit the files beside it ({reason}); pull or pack the model again")

    def _open(self, graph: str):
        from . import ort

        part, checkpoint = PARTS[graph], self.checkpoint_of(graph)
        if part.extra and part.file not in checkpoint:
            raise SmgError(f"{checkpoint.directory} has no {part.file}; pack it again, or use --backend torch")
        path = checkpoint.path(part.file)
        options = ort.session_options(self.threads)
        weights = self.weights(graph)
        names = _names(checkpoint.path(part.names))
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


def _names(path: Path) -> list[str]:
    """The weights a graph is to be given. Raises SmgError for a file that is no list of names."""
    try:
        names = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SmgError(f"{path} is not a JSON list of names; pull or pack the model again")
    return names
