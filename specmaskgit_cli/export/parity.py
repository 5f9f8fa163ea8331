"""Whether an exported graph computes what the checkpoint computes, on inputs of two sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import SmgError
from ..models.parts import PARTS
from ..runtime import ort
from ..runtime.base import Runtime
from ..runtime.text import TextEncoder

# Largest error that an export may have: root mean square of the difference over that of the reference; for the
# tokenizer's encoder, whose output is codes, the share of codes that differ.
TOLERANCES = {"float32": 1e-3, "float16": 5e-3, "int8": 0.05}
CODE_TOLERANCES = {"float32": 0.01, "float16": 0.05}

TEXTS = ("dog barking", "rain on a tin roof, and thunder far away")


def tolerance(graph: str, precision: str) -> float:
    """The largest allowed error of a graph."""
    return (CODE_TOLERANCES if graph == "tokenizer_encoder" else TOLERANCES)[precision]


def compare(reference: Runtime, graph: str, path: Path, tokenizer: Path) -> float:
    """The largest error of the graph in file `path` over all examples; see TOLERANCES.

    Args:
        tokenizer: the text tokenizer's file, for the text encoder.

    Raises:
        SmgError: ONNX Runtime cannot load or run the file.
    """
    if graph == "text_encoder":
        limit = reference.config.embedder.max_text_tokens
        written = TextEncoder(path, tokenizer, limit, reference.threads, ours=True)
        return _error(written(list(TEXTS)), reference.text_encoder(list(TEXTS)))
    rng, errors = np.random.default_rng(0), []
    for batch, columns in ((2, 3), (1, reference.config.generator.max_columns)):  # a short batch, a single long item
        inputs = PARTS[graph].signature(reference.config).example(rng, batch, columns)
        expected = reference.run(graph, **inputs)
        try:
            session = ort.open_session(path, ort.session_options(reference.threads), ours=True)
            found = session.run(None, inputs)[0]
        except Exception as error:  # as open_session says
            raise SmgError(f"{path.name}: ONNX Runtime refuses it ({str(error).splitlines()[0]})") from None
        errors.append(_error(found, expected))
    return max(errors)


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind == "i":
        return float(np.mean(found != expected))
    difference = float(np.sqrt(np.mean(np.square(found - expected, dtype=np.float64))))
    error = difference / max(float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))), 1e-12)
    return error if np.isfinite(error) else float("inf")
