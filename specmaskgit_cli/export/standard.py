"""The operators beyond the ONNX standard that a checkpoint's graphs have, spelled out in standard ones.

ONNX Runtime computes some steps of a Transformer faster as one operator of its own than as the several that the
standard has for them. Files for other programs are not to depend on that: here each is a function of the standard's.
"""

from __future__ import annotations

import onnx
import onnx.inliner
import onnx.parser

DOMAIN = "com.microsoft"

_HEADER = f'<domain: "{DOMAIN}", opset_import: ["" : 18]>'
_FUNCTIONS = (
    # 0.5 * (1 + tanh(z)) is sigmoid(2 z), which leaves out a power and a few products.
    """
    FastGelu (x) => (y) {
        linear = Constant <value = float {1.5957691216}> ()
        cubic = Constant <value = float {0.0713548163}> ()
        square = Mul (x, x)
        bent = Mul (square, cubic)
        slope = Add (bent, linear)
        z = Mul (x, slope)
        gate = Sigmoid (z)
        y = Mul (x, gate)
    }
    """,
    # x [B, n, width], places [B, n], cos and sin [n, size / 2] of a head's size; halves of a head are turned together.
    """
    RotaryEmbedding <num_heads> (x, places, cos, sin) => (y) {
        count = Constant <value_int: int = @num_heads> ()
        axes = Constant <value_ints = [0]> ()
        heads = Unsqueeze (count, axes)
        keep = Constant <value_ints = [0, 0]> ()
        rest = Constant <value_ints = [-1]> ()
        split = Concat <axis = 0> (keep, heads, rest)
        apart = Reshape (x, split)
        a, b = Split <axis = -1, num_outputs = 2> (apart)
        head_axis = Constant <value_ints = [2]> ()
        cos_rows = Gather <axis = 0> (cos, places)
        sin_rows = Gather <axis = 0> (sin, places)
        c = Unsqueeze (cos_rows, head_axis)
        s = Unsqueeze (sin_rows, head_axis)
        a_c = Mul (a, c)
        b_s = Mul (b, s)
        a_s = Mul (a, s)
        b_c = Mul (b, c)
        first = Sub (a_c, b_s)
        second = Add (a_s, b_c)
        turned = Concat <axis = -1> (first, second)
        flat = Concat <axis = 0> (keep, rest)
        y = Reshape (turned, flat)
    }
    """,
    # q [B, m, width], k and v [B, n, width]: softmax (q k / root of a head's size) v, head by head.
    """
    MultiHeadAttention <num_heads> (q, k, v) => (y) {
        count = Constant <value_int: int = @num_heads> ()
        axes = Constant <value_ints = [0]> ()
        heads = Unsqueeze (count, axes)
        keep = Constant <value_ints = [0, 0]> ()
        rest = Constant <value_ints = [-1]> ()
        split = Concat <axis = 0> (keep, heads, rest)
        q_apart = Reshape (q, split)
        k_apart = Reshape (k, split)
        v_apart = Reshape (v, split)
        queries = Transpose <perm = [0, 2, 1, 3]> (q_apart)
        keys = Transpose <perm = [0, 2, 3, 1]> (k_apart)
        values = Transpose <perm = [0, 2, 1, 3]> (v_apart)
        products = MatMul (queries, keys)
        shape = Shape <start = 3> (q_apart)
        size = CastLike (shape, q)
        root = Sqrt (size)
        scores = Div (products, root)
        weights = Softmax <axis = -1> (scores)
        averages = MatMul (weights, values)
        together = Transpose <perm = [0, 2, 1, 3]> (averages)
        flat = Concat <axis = 0> (keep, rest)
        y = Reshape (together, flat)
    }
    """,
)


def standard(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in operators of the ONNX standard alone; the same if it has no others."""
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    if not used:
        return model
    functions = [onnx.parser.parse_function(_HEADER + text) for text in _FUNCTIONS]
    model.functions.extend(function for function in functions if function.name in used)
    model = onnx.inliner.inline_local_functions(model)
    for item in list(model.opset_import):
        if item.domain == DOMAIN:
            model.opset_import.remove(item)
    return model
