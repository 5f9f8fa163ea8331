"""A checkpoint's ONNX graphs, which hold no weights, to models that hold them: float32, float16 or int8."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import SmgError

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
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _fold_transposes(model.graph)
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # or it advises to do so
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        save(model, before)
        # Unsigned weights: signed ones saturate in 16 bits on x86 without VNNI, and results would depend on the CPU.
        quantize_dynamic(
            before, after, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QUInt8,
            use_external_data_format=_weight_bytes(model) > EXTERNAL_ABOVE,
        )  # fmt: skip
        return onnx.load(after)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model as one file, or with its weights in `<name>.onnx.data` beside it if protobuf cannot hold them."""
    beside = _weight_bytes(model) > EXTERNAL_ABOVE
    onnx.save(model, path, save_as_external_data=beside, location=f"{path.name}.data" if beside else None)


def _weight_bytes(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _fold_transposes(graph: onnx.GraphProto) -> None:
    """Transpose constant matrices beforehand: quantisation only finds those that are operands themselves."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    kept = []
    for node in graph.node:
        source = constants.get(node.input[0]) if node.op_type == "Transpose" else None
        if source is None or uses[source.name] > 1:
            kept.append(node)
            continue
        order = next((list(item.ints) for item in node.attribute if item.name == "perm"), None)
        turned = np.ascontiguousarray(numpy_helper.to_array(source).transpose(order))
        source.CopyFrom(numpy_helper.from_array(turned, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
