"""Torch models to ONNX graphs without weights: every parameter stays in the checkpoint's safetensors files.

An initialiser that stands for a parameter is marked as external data under the parameter's name; whoever opens the
graph supplies it (`SessionOptions.add_external_initializers`), guided by a list of names beside the graph. So a number
is stored once, for torch and ONNX alike.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config.settings import CheckpointConfig
from ..durable import usual_rights
from ..errors import SmgError
from ..models.embedder import AudioTower
from ..models.envelope import EnvelopeEstimator
from ..models.generator import Generator
from ..models.tokenizer import Tokenizer
from ..models.vocoders.base import Vocoder
from ..runtime.external import EXTERNAL

OPSET = 18
GRID_INPUTS = ("tokens", "mask", "condition", "dropped")
INLINE_LIMIT = 100_000  # bytes of constants a graph may hold itself


class Method(nn.Module):
    """A module whose forward is one method of `model`."""

    def __init__(self, model: nn.Module, method: str):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *arguments: Tensor) -> Tensor:
        return getattr(self.model, self.method)(*arguments)


def export_tokenizer(model: Tokenizer, config: CheckpointConfig, folder: Path) -> None:
    """Write tokenizer_encoder.onnx and tokenizer_decoder.onnx."""
    bands, patch, levels = config.mel.n_mels, config.tokenizer.patch_frames, config.tokenizer.levels
    mel = torch.zeros(2, bands, 3 * patch)
    codes = torch.zeros(2, config.rows, 3, levels, dtype=torch.long)
    columns = torch.export.Dim("columns", min=1, max=4096)
    _export(
        Method(model, "encode"), (mel,), ["mel"], "tokens", ({0: "batch", 2: patch * columns},),
        folder / "tokenizer_encoder.onnx",
    )  # fmt: skip
    _export(
        Method(model, "decode"), (codes, mel), ["tokens", "noise"], "mel",
        ({0: "batch", 2: columns}, {0: "batch", 2: patch * columns}), folder / "tokenizer_decoder.onnx",
    )  # fmt: skip


def export_generator(model: Generator, config: CheckpointConfig, folder: Path, features: bool = True) -> None:
    """Write generator.onnx (tokens to hidden states of some cells), head.onnx (hidden states to guided logits of a
    level) and, if asked for, features.onnx (tokens to hidden states of all cells and layers)."""
    levels, width = config.tokenizer.levels, config.generator.width
    cells = torch.tensor([[0, 2, 5, 7], [1, 2, 3, 4]])
    _export_grid(Method(model, "hidden"), "hidden", config, folder / "generator.onnx", cells)
    if features:
        export_features(model, config, folder)
    codes = torch.zeros(5, levels, dtype=torch.long)
    _export(
        Method(model, "guided_logits"),
        (torch.zeros(5, width), codes, torch.tensor(0), torch.tensor([2, 3, 4]), torch.ones(3)),
        ["hidden", "codes", "level", "against", "scale"], "logits",
        ({0: "cells"}, {0: "cells"}, None, {0: "drawn"}, {0: "drawn"}), folder / "head.onnx",
    )  # fmt: skip


def export_features(model: Generator, config: CheckpointConfig, folder: Path) -> None:
    """Write features.onnx; alone, for a checkpoint that was packed without it."""
    _export_grid(Method(model, "features"), "features", config, folder / "features.onnx")


def _export_grid(method: Method, output: str, config: CheckpointConfig, path: Path, cells: Tensor | None = None):
    """A method of the generator on a token grid of any batch and number of columns, and where given on its cells."""
    grid = torch.zeros(2, config.rows, 3, config.tokenizer.levels, dtype=torch.long)
    condition = torch.zeros(2, config.generator.condition_size)
    columns = torch.export.Dim("columns", min=2, max=config.generator.max_columns)
    arguments, names = [grid, grid[..., 0] == 0, condition, torch.tensor([True, False])], list(GRID_INPUTS)
    shapes = [{0: "batch", 2: columns}, {0: "batch", 2: columns}, {0: "batch"}, {0: "batch"}]
    if cells is not None:
        arguments, names, shapes = [*arguments, cells], [*names, "cells"], [*shapes, {0: "batch", 1: "cells"}]
    _export(method, tuple(arguments), names, output, tuple(shapes), path)


def export_audio_encoder(model: AudioTower, config: CheckpointConfig, folder: Path) -> None:
    """Write audio_encoder.onnx."""
    mel = torch.zeros(2, config.mel.n_mels, 64)
    frames = torch.export.Dim("frames", min=16, max=1 << 20)
    shapes = ({0: "batch", 2: frames},)
    _export(Method(model, "forward"), (mel,), ["mel"], "embedding", shapes, folder / "audio_encoder.onnx")


def export_clap_audio(model: nn.Module, config: CheckpointConfig, folder: Path) -> None:
    """Write audio_encoder.onnx of a CLAP, from spectrograms [B, 1, frames, n_mels] of its own front end."""
    features = torch.zeros(2, 1, config.embedder.frames, config.embedder.n_mels)
    _export(
        Method(model, "forward"), (features,), ["features"], "embedding", ({0: "batch"},),
        folder / "audio_encoder.onnx",
    )  # fmt: skip


def export_vocoder(model: Vocoder, config: CheckpointConfig, folder: Path) -> None:
    """Write vocoder.onnx."""
    mel = torch.zeros(2, config.mel.n_mels, 64)
    shapes = ({0: "batch", 2: torch.export.Dim("frames", min=4, max=1 << 20)},)
    _export(Method(model, "forward"), (mel,), ["mel"], "waveform", shapes, folder / "vocoder.onnx")


def export_envelope(model: EnvelopeEstimator, config: CheckpointConfig, folder: Path) -> None:
    """Write envelope.onnx."""
    bands, steps = config.envelope.bands, torch.export.Dim("steps", min=2, max=1 << 20)
    inputs = torch.zeros(2, 48, 2 * bands), torch.ones(2, bands) > 0, torch.ones(2, 48) > 0
    shapes = {0: "batch", 1: steps}, {0: "batch"}, {0: "batch", 1: steps}
    path = folder / "envelope.onnx"
    _export(Method(model, "forward"), inputs, ["found", "known", "heard"], "levels", shapes, path)


def as_stored(model: nn.Module) -> nn.Module:
    """The model with its weights rounded to the float16 of storage, so that exports see what users will load."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return model.eval().requires_grad_(False)


def save_half(model: nn.Module, path: Path, skip: set[str] = frozenset()) -> None:
    """Write a model's state as float16 safetensors."""
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items() if k not in skip}
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    usual_rights(path)


def save_exact(model: nn.Module, path: Path) -> None:
    """Write a model's state as safetensors of its own precision."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    usual_rights(path)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's remarks about itself."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _export(module: Method, arguments, inputs: list[str], output: str, shapes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        # Method.forward takes *arguments, so their shapes come as one nested tuple.
        program = torch.onnx.export(
            module.eval(), arguments, input_names=inputs, output_names=[output], dynamic_shapes=(shapes,),
            opset_version=OPSET, dynamo=True, optimize=False, verbose=False,
        )  # fmt: skip
    proto = program.model_proto
    supplied = {f"model.{name}" for name in module.model.state_dict()}
    inline, names = 0, []
    for tensor in proto.graph.initializer:
        if tensor.name not in supplied:
            inline += len(tensor.raw_data)
            continue
        size, name = len(tensor.raw_data), tensor.name.removeprefix("model.")
        names.append(name)
        _rename(proto.graph, tensor.name, name)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", EXTERNAL), ("offset", "0"), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
    if inline > INLINE_LIMIT:
        raise SmgError(f"{path.name}: {inline} bytes of constants would be stored twice; the export is at fault")
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    path.write_bytes(proto.SerializeToString())
    path.with_suffix(".json").write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
    for tensor in graph.initializer:
        if tensor.name == old:
            tensor.name = new
