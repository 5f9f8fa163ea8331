"""A checkpoint as ONNX files that need nothing of this program: weights inside, settings in their metadata."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import __version__
from ..checkpoint.card import known_embeddings, known_sounds
from ..checkpoint.layout import Checkpoint, read_sums, write_config, write_sums
from ..conditioning.bank import Bank
from ..conditioning.condition import Layout
from ..config.settings import to_dict
from ..decoding.settings import DecodeSettings
from ..durable import put
from ..errors import SmgError
from ..models.parts import PARTS
from ..runtime import open_runtime
from ..runtime.base import Runtime
from ..runtime.external import check_external
from ..spectrogram.mel import mel_filterbank

TOKENIZER, FILTERS, STYLES = "text_tokenizer.json", "mel_filters.npy", "styles.npz"
LAYOUT = "condition.json"  # which part of the generator's condition lies where
# Copied as they are: the credits have to travel with the weights.
ALONG = {"text/tokenizer.json": TOKENIZER} | {name: name for name in ("README.md", "CREDITS.md")}


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        directory: to write; it must not exist yet, or be empty.
        int8: quantise the generator's matrices.
        fp16: store matrices and kernels in float16; computing stays float32.
        fused: keep the operators that only ONNX Runtime has, and is faster with.
    """

    directory: Path
    int8: bool = False
    fp16: bool = False
    fused: bool = False

    def precision(self, graph: str) -> str:
        """Of the graph's matrices: "float32", "float16" or "int8"."""
        if self.int8 and graph == "generator":
            return "int8"
        return "float16" if self.fp16 else "float32"


@dataclass(frozen=True)
class ExportedGraph:
    """One file that was written.

    Attributes:
        precision: of its matrices: "float32", "float16" or "int8" (the text encoder of a checkpoint may be so already).
        error: and `tolerance` as in `parity.TOLERANCES`.
        shapes: of inputs and output by name, sizes or the names of dynamic ones.
    """

    graph: str
    file: str
    bytes: int
    opset: int
    precision: str
    error: float
    tolerance: float
    shapes: dict[str, list]


def export_standalone(checkpoint: Checkpoint, options: ExportOptions) -> tuple[str, list[ExportedGraph]]:
    """Write every graph of a checkpoint, after comparing each with the checkpoint's own models.

    Returns:
        what they were compared with, "torch" where it is installed or else "onnx", and the graphs.

    Raises:
        SmgError: the package onnx is missing, the directory has something in it, the checkpoint has no graphs or is
            damaged, or a graph differs by more than its tolerance. Nothing is left behind.
    """
    # What only some tasks need would hold the generator's weights a second time.
    graphs = [part.graph for part in PARTS.values() if not part.extra and part.file in checkpoint]
    if not graphs:
        raise SmgError(f"{checkpoint.directory} has no ONNX graphs; pack it again")
    with _building(Path(options.directory)) as scratch:
        reference = _reference(checkpoint)
        for source, name in ALONG.items():
            if source in checkpoint:
                shutil.copyfile(checkpoint.path(source), scratch / name)
        write_config(checkpoint.config, scratch)  # in the present names, however old the checkpoint
        np.save(scratch / FILTERS, mel_filterbank(checkpoint.config.mel))
        bank = Bank.read(checkpoint, len(known_sounds(checkpoint)))
        if len(bank.styles):
            np.savez(
                scratch / STYLES, styles=bank.styles, sounds=bank.sounds, embeddings=known_embeddings(checkpoint),
                contours=bank.flagged_contours.astype(np.float16),
            )  # fmt: skip
        layout = Layout(checkpoint.config.generator).to_dict()
        (scratch / LAYOUT).write_text(json.dumps(layout, indent=2) + "\n", encoding="utf-8")
        return reference.backend, [_export(reference, graph, options, scratch) for graph in graphs]


def export_checkpoint(checkpoint: Checkpoint, directory: Path) -> tuple[str, list[ExportedGraph]]:
    """Write a copy of a checkpoint whose generator's graph is in 8 bits, and faster; its weights stay as they are, for
    the torch backend. Returns and raises as `export_standalone`."""
    generator = PARTS["generator"]
    if generator.file not in checkpoint:
        raise SmgError(f"{checkpoint.directory} has no ONNX graphs; pack it again")
    with _building(directory) as scratch:
        for name in read_sums(checkpoint.directory):
            (scratch / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(checkpoint.path(name), scratch / name)
        reference = _reference(checkpoint)
        options = ExportOptions(scratch / "onnx", int8=True, fused=True)
        written = _export(reference, generator.graph, options, options.directory)
        check_external(options.directory / written.file)  # one too large for a file would not be opened
        (scratch / generator.names).write_text("[]\n", encoding="utf-8")  # it has its weights inside
        write_sums(scratch)
        return reference.backend, [written]


@contextlib.contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A directory to fill; it becomes `target` if the block ends well, else nothing stays. Raises SmgError."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise SmgError("exporting needs the package onnx: pip install onnx") from None
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise SmgError(f"{target} is there already; name a new directory")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        scratch.mkdir()
    except OSError as error:
        raise SmgError(f"{target} cannot be written: {error.strerror}") from None
    try:
        yield scratch
        if target.is_dir():
            target.rmdir()
        put(scratch, target)
    except OSError as error:
        raise SmgError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def metadata(checkpoint: Checkpoint, graph: str, precision: str) -> dict[str, str]:
    """What a file says about itself, as the strings of ONNX's `metadata_props`."""
    config = checkpoint.config
    return {
        "graph": graph,
        "model": config.name,
        "model_version": config.version,
        "model_hash": checkpoint.hash,
        "license": config.license,
        "sample_rate": str(config.mel.sample_rate),
        "mel": json.dumps(to_dict(config.mel)),
        "steps": str(DecodeSettings().steps),
        "precision": precision,
        "config": json.dumps(to_dict(config)),
        "producer": f"smg {__version__}",
    }


def _reference(checkpoint: Checkpoint) -> Runtime:
    try:
        import torch  # noqa: F401
    except ImportError:
        return open_runtime(checkpoint, "onnx")
    return open_runtime(checkpoint, "torch")


def _export(reference: Runtime, graph: str, options: ExportOptions, folder: Path) -> ExportedGraph:
    import onnx

    from . import inline, parity
    from .standard import standard

    part, checkpoint, precision = PARTS[graph], reference.checkpoint, options.precision(graph)
    weights = reference.weights(graph) if part.network else {}
    check_external(source := checkpoint.path(part.file), weights)
    model = onnx.load(source, load_external_data=False)
    if graph == "generator" and "cells" not in {value.name for value in model.graph.input}:
        raise SmgError(f"{checkpoint.directory}: its graphs are of an earlier version; pack or pull it again")
    model = inline.plain_casts(model if options.fused else standard(model))
    inline.supply(model, weights, graph)
    if precision == "int8":
        model = inline.quantise(model)
    if options.fp16:
        inline.halve(model)
    stored = "int8" if any(node.op_type == "MatMulInteger" for node in model.graph.node) else precision
    onnx.helper.set_model_props(model, metadata(checkpoint, graph, stored))
    inline.settle_versions(model)
    path = folder / f"{graph}.onnx"
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    opset = next(item.version for item in model.opset_import if item.domain == "")
    inline.save(model, path)
    error, limit = parity.compare(reference, graph, path, folder / TOKENIZER), parity.tolerance(graph, precision)
    if not error <= limit:
        raise SmgError(
            f"{path.name} ({precision}) differs from the checkpoint by {error:.2g}, more than {limit:g}; "
            "nothing was written"
        )
    size = sum(file.stat().st_size for file in folder.glob(f"{path.name}*"))
    return ExportedGraph(graph, path.name, size, opset, stored, error, limit, shapes)
