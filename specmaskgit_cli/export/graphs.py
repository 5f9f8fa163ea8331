"""Torch models to ONNX graphs without weights: every parameter stays in the checkpoint's safetensors files.

An initialiser that stands for a parameter is marked as external data under the parameter's name; whoever opens the
graph supplies it (`SessionOptions.add_external_initializers`), guided by a list of names beside the graph. So a number
is stored once, for torch and ONNX alike.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import CheckpointConfig
from ..errors import SmgError
from ..models.embedder import AudioTower
from ..models.generator import Generator
from ..models.tokenizer import Tokenizer
from ..models.vocoder import Vocoder

OPSET = 18
EXTERNAL = "safetensors"  # the location that marks an initialiser as supplied from outside
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
    bands, patch, levels = config.mel.n_mels, config.tokenizer.patch, config.tokenizer.levels
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


def export_generator(model: Generator, config: CheckpointConfig, folder: Path) -> None:
    """Write generator.onnx (tokens to hidden states), features.onnx (to those of all layers) and head.onnx (hidden
    states to logits of a level)."""
    levels, width = config.tokenizer.levels, config.generator.width
    _export_grid(Method(model, "hidden"), "hidden", config, folder / "generator.onnx")
    export_features(model, config, folder)
    _export(
        Method(model, "logits"), (torch.zeros(3, width), torch.zeros(3, levels, dtype=torch.long), torch.tensor(0)),
        ["hidden", "codes", "level"], "logits", ({0: "cells"}, {0: "cells"}, None), folder / "head.onnx",
    )  # fmt: skip


def export_features(model: Generator, config: CheckpointConfig, folder: Path) -> None:
    """Write features.onnx; alone, for a checkpoint that was packed without it."""
    _export_grid(Method(model, "features"), "features", config, folder / "features.onnx")


def _export_grid(method: Method, output: str, config: CheckpointConfig, path: Path) -> None:
    """A method of the generator on a token grid of any batch and number of columns."""
    grid = torch.zeros(2, config.rows, 3, config.tokenizer.levels, dtype=torch.long)
    condition = torch.zeros(2, config.generator.condition_dim)
    columns = torch.export.Dim("columns", min=2, max=config.generator.max_columns)
    _export(
        method, (grid, grid[..., 0] == 0, condition, torch.tensor([True, False])),
        ["tokens", "mask", "condition", "dropped"], output,
        ({0: "batch", 2: columns}, {0: "batch", 2: columns}, {0: "batch"}, {0: "batch"}), path,
    )  # fmt: skip


def export_audio_encoder(model: AudioTower, config: CheckpointConfig, folder: Path) -> None:
    """Write audio_encoder.onnx."""
    mel = torch.zeros(2, config.mel.n_mels, 64)
    frames = torch.export.Dim("frames", min=16, max=1 << 20)
    shapes = ({0: "batch", 2: frames},)
    _export(Method(model, "forward"), (mel,), ["mel"], "embedding", shapes, folder / "audio_encoder.onnx")


def export_vocoder(model: Vocoder, config: CheckpointConfig, folder: Path) -> None:
    """Write vocoder.onnx."""
    mel = torch.zeros(2, config.mel.n_mels, 64)
    shapes = ({0: "batch", 2: torch.export.Dim("frames", min=4, max=1 << 20)},)
    _export(Method(model, "forward"), (mel,), ["mel"], "waveform", shapes, folder / "vocoder.onnx")


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
    path.chmod(0o644)


def _export(module: Method, arguments, inputs: list[str], output: str, shapes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's remarks about itself
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
