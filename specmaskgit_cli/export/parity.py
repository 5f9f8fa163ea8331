"""Whether an exported graph computes what the checkpoint computes, on inputs of two sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..config.settings import CheckpointConfig
from ..errors import SmgError
from ..runtime import ort
from ..runtime.base import Runtime
from ..runtime.text import TextEncoder

# Largest error that an export may have: root mean square of the difference over that of the reference; for the
# tokenizer's encoder, whose output is codes, the share of codes that differ.
TOLERANCES = {"float32": 1e-3, "float16": 5e-3, "int8": 0.05}
CODE_TOLERANCES = {"float32": 0.01, "float16": 0.05}

# The method of a runtime that computes each graph, and takes the graph's inputs by their names.
METHODS = {
    "tokenizer_encoder": "encode",
    "tokenizer_decoder": "decode",
    "generator": "hidden",
    "head": "logits",
    "audio_encoder": "tower",
    "vocoder": "vocode",
    "envelope": "estimate",
}
TEXTS = ("dog barking", "rain on a tin roof, and thunder far away")


def tolerance(graph: str, precision: str) -> float:
    """The largest allowed error of a graph."""
    return (CODE_TOLERANCES if graph == "tokenizer_encoder" else TOLERANCES)[precision]


def compare(reference: Runtime, graph: str, path: Path, tokenizer: Path) -> float:
    """The largest error of the graph in file `path` over all probes; see TOLERANCES.

    Args:
        tokenizer: the text tokenizer's file, for the text encoder.

    Raises:
        SmgError: ONNX Runtime cannot load or run the file.
    """
    if graph == "text_encoder":
        limit = reference.config.embedder.max_text_tokens
        written = TextEncoder(path, tokenizer, limit, reference.threads, ours=True)
        return _error(written(list(TEXTS)), reference.text(list(TEXTS)))
    errors = []
    for inputs in probes(graph, reference.config):
        expected = getattr(reference, "clap" if "features" in inputs else METHODS[graph])(**inputs)
        try:
            session = ort.open_session(path, ort.session_options(reference.threads), ours=True)
            found = session.run(None, {name: np.asarray(value) for name, value in inputs.items()})[0]
        except Exception as error:  # as open_session says
            raise SmgError(f"{path.name}: ONNX Runtime refuses it ({str(error).splitlines()[0]})") from None
        errors.append(_error(found, expected))
    return max(errors)


def probes(graph: str, config: CheckpointConfig) -> list[dict]:
    """Random inputs of a graph: a short batch and a single long item."""
    rng = np.random.default_rng(0)
    return [_inputs(graph, config, rng, *size) for size in ((2, 3), (1, config.generator.max_columns))]


def _inputs(graph: str, config: CheckpointConfig, rng: np.random.Generator, batch: int, columns: int) -> dict:
    levels, size = config.tokenizer.levels, config.tokenizer.codebook_size
    frames = columns * config.tokenizer.patch_frames
    if graph == "audio_encoder" and config.embedder.kind == "clap":
        shape = batch, 1, config.embedder.frames, config.embedder.n_mels
        return {"features": rng.normal(-40, 20, shape).astype(np.float32)}
    tokens = rng.integers(0, size, (batch, config.rows, columns, levels))
    mel = rng.normal(-5, 2, (batch, config.mel.n_mels, frames)).astype(np.float32)
    if graph == "tokenizer_decoder":
        return {"tokens": tokens, "noise": rng.standard_normal(mel.shape, dtype=np.float32)}
    if graph == "generator":
        condition = rng.standard_normal((batch, config.generator.condition_size), dtype=np.float32)
        condition /= np.linalg.norm(condition, axis=1, keepdims=True)
        mask = rng.random(tokens.shape[:3]) < 0.5
        cells = np.stack([rng.permutation(mask[0].size)[: 2 * columns] for _ in range(batch)])
        dropped = np.arange(batch) % 2 == 1
        return {"tokens": tokens, "mask": mask, "condition": condition, "dropped": dropped, "cells": cells}
    if graph == "head":
        cells, drawn = batch * columns, columns
        hidden = rng.standard_normal((cells, config.generator.width), dtype=np.float32)
        against, scale = np.arange(cells - drawn, cells), np.linspace(0, 4, drawn, dtype=np.float32)
        level, codes = levels - 1 if batch == 1 else 0, tokens.reshape(-1, levels)[:cells]
        return {"hidden": hidden, "codes": codes, "level": level, "against": against, "scale": scale}
    if graph == "envelope":
        found = rng.normal(-5, 3, (batch, 4 * columns, 2 * config.envelope.bands)).astype(np.float32)
        known = np.arange(config.envelope.bands) < rng.integers(1, config.envelope.bands, (batch, 1))
        return {"found": found, "known": known, "heard": np.ones(found.shape[:2], bool)}
    return {"mel": mel}


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind == "i":
        return float(np.mean(found != expected))
    difference = float(np.sqrt(np.mean(np.square(found - expected, dtype=np.float64))))
    error = difference / max(float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))), 1e-12)
    return error if np.isfinite(error) else float("inf")
