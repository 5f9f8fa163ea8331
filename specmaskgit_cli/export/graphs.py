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

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config.settings import CheckpointConfig
from ..durable import usual_rights
from ..errors import SmgError
from ..models.parts import Network, Part, parts_of
from ..models.signature import Array, Axis
from ..runtime.external import EXTERNAL

OPSET = 18
INLINE_LIMIT = 100_000  # bytes of constants a graph may hold itself
EXAMPLE = 2, 3  # items and columns of the inputs that a model is traced with


class Method(nn.Module):
    """A module whose forward is one method of `model`."""

    def __init__(self, model: nn.Module, method: str):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *arguments: Tensor) -> Tensor:
        return getattr(self.model, self.method)(*arguments)


def write_network(
    network: Network, model: nn.Module, config: CheckpointConfig, folder: Path, extra: bool = True
) -> None:
    """Write a network into a checkpoint's directory: its weights in float16, and its graphs.

    Args:
        model: as `as_stored` gives it.
        extra: whether to write the graphs that only some tasks need, too.
    """
    save_half(model, folder / network.weights, skip=network.shared)
    for part in parts_of(network):
        if extra or not part.extra:
            export_part(part, model, config, folder)


def export_part(part: Part, model: nn.Module, config: CheckpointConfig, folder: Path) -> None:
    """Write a graph, and the names of the weights it is to be given, into a checkpoint's directory.

    Raises:
        SmgError: the graph holds constants of more than INLINE_LIMIT bytes.
    """
    signature = part.signature(config)
    example = signature.example(np.random.default_rng(0), *EXAMPLE)
    module, dims = Method(model, part.method).eval(), {}
    with quiet():
        program = torch.onnx.export(
            module, tuple(torch.from_numpy(value) for value in example.values()),
            input_names=list(example), output_names=[signature.output.name],
            # Method.forward takes *arguments, so their shapes come as one nested tuple.
            dynamic_shapes=(tuple(_dynamic(array, dims) for array in signature.inputs),),
            opset_version=OPSET, dynamo=True, optimize=False, verbose=False,
        )  # fmt: skip
    proto = program.model_proto  # made anew each time it is asked for
    names = _without_weights(proto, module, part)
    path = folder / part.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    (folder / part.names).write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


def _dynamic(array: Array, dims: dict[str, torch.export.Dim]) -> dict | None:
    """The sizes of an array that may differ, as the exporter has them; the arrays of a graph share `dims`."""
    found = {}
    for place, axis in enumerate(array.axes):
        if not isinstance(axis, Axis):
            continue
        if axis.low is None:
            found[place] = axis.name
        else:
            dim = dims.setdefault(axis.name, torch.export.Dim(axis.name, min=axis.low, max=axis.high))
            found[place] = dim if axis.times == 1 else axis.times * dim
    return found or None


def _without_weights(proto: onnx.ModelProto, module: Method, part: Part) -> list[str]:
    """Take the weights out of a graph in place, and what it says about its making. Returns their names."""
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
        raise SmgError(f"{part.file}: {inline} bytes of constants would be stored twice; the export is at fault")
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    return names


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
    for tensor in graph.initializer:
        if tensor.name == old:
            tensor.name = new


def share(network: Network, models: dict[str, nn.Module]) -> None:
    """Copy to a network the weights that it has from others; `models` holds all of them by section."""
    state = models[network.section].state_dict()
    for name, (section, theirs) in network.shared.items():
        state[name].copy_(models[section].state_dict()[theirs])


def as_stored(model: nn.Module) -> nn.Module:
    """The model with its weights rounded to the float16 of storage, so that exports see what users will load."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return model.eval().requires_grad_(False)


def save_half(model: nn.Module, path: Path, skip=frozenset()) -> None:
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
