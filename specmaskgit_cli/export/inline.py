"""A checkpoint's ONNX graphs, which hold no weights, to models that hold them: float32, float16 or int8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import SmgError
from ..runtime import ort

EXTERNAL_ABOVE = 2_000_000_000  # bytes of weights; protobuf ends at 2 GiB


def supply(model: onnx.ModelProto, tensors: dict[str, np.ndarray], name: str) -> onnx.ModelProto:
    """Put its weights into a graph in place; what the graph holds already stays.

    Args:
        tensors: arrays by the name of the initialiser that wants them.
        name: of the graph, for the message.

    Raises:
        SmgError: a weight is missing or of another shape.
    """
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        found = tensors.get(tensor.name)
        if found is None or list(found.shape) != list(tensor.dims):
            raise SmgError(f"{name}: the weights do not fit the graph at {tensor.name!r}; pull or pack it again")
        wanted = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(found, wanted), tensor.name))
    return model


def plain_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name the type that each CastLike casts to, in place: ONNX Runtime warns of every one that it cannot fold."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.input)}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "CastLike" and (kind := types.get(node.input[1])):
            node.CopyFrom(helper.make_node("Cast", [node.input[0]], list(node.output), node.name, to=kind))
    return model


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every float32 array of two axes or more as float16, in place, each with a cast back to float32.

    ONNX Runtime folds the casts when it loads the file: computing stays float32. Vectors (biases, norms, scales of
    quantised matrices) are small and stay as they are.

    Raises:
        SmgError: a weight is too large for float16.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(half).all():
            raise SmgError(f"{name} does not fit into float16; export without --fp16")
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]  # in an order in which they can run
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Products with constant matrices in 8 bits, one scale a column; activations are scaled as they come."""
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # or it advises to do so
    with tempfile.TemporaryDirectory() as scratch:
        given, before, after = (Path(scratch) / f"{name}.onnx" for name in ("given", "float", "int8"))
        save(model, given)
        _fold(given, before)
        # Weights of 7 bits: two products of 8 can exceed the 16 that x86 without VNNI adds them in, and results would
        # depend on the CPU. Unsigned weights of 8 bits would not, but take 1.3 times as long there.
        ort.quantize_dynamic(
            before, after, "QInt8", op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True,
            use_external_data_format=_weight_bytes(model) > EXTERNAL_ABOVE,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},  # of what operators beyond the standard give
        )  # fmt: skip
        return onnx.load(after)


def settle_versions(model: onnx.ModelProto) -> None:
    """Declare no more than the model needs, so that older programs take it: the sets of operators that its nodes are
    of, and the lowest version of the file format that these can be in."""
    used = _domains(model.graph.node)
    for function in model.functions:
        used |= _domains(function.node)
    needed = [item for item in model.opset_import if item.domain in used or item.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(needed)
    model.ir_version = helper.find_min_ir_version_for(needed, ignore_unknown=True)


def _domains(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The domains of nodes and of those in their subgraphs; "ai.onnx" is the standard's "", too."""
    found = set()
    for node in nodes:
        found.add(node.domain)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                found |= _domains(graph.node)
    return found


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model as one file, or with its weights in `<name>.onnx.data` beside it if protobuf cannot hold them."""
    beside = _weight_bytes(model) > EXTERNAL_ABOVE
    onnx.save(model, path, save_as_external_data=beside, location=f"{path.name}.data" if beside else None)


def _weight_bytes(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _fold(source: Path, target: Path) -> None:
    """Compute beforehand what depends on constants alone: quantisation only finds matrices that are operands
    themselves."""
    options = ort.session_options()
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", f"{target.name}.data")
    options.graph_optimization_level = ort.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    ort.open_session(source, options, ours=True, disabled_optimizers=["MatMulAddFusion", "MatmulTransposeFusion"])
