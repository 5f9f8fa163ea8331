"""How fast this computer multiplies matrices of the generator's shapes: the yardstick of the generator's speed."""

from __future__ import annotations

import time

import numpy as np

from ..config.settings import CheckpointConfig
from .flops import matrices

MIN_SECONDS = 0.3  # of multiplying, after warming up


def gemm_rate(config: CheckpointConfig, rows: int, threads: int, seconds: float = MIN_SECONDS) -> float:
    """Float32 operations a second of ONNX Runtime at a layer's products, [rows, inputs] by [inputs, outputs] each.

    The best of several runs: what else the computer does can only slow it down.
    """
    from ..runtime import ort

    shapes = matrices(config)
    session = ort.open_session(products_model(shapes), ort.session_options(threads))
    rng = np.random.default_rng(0)
    inputs = {f"x{i}": rng.standard_normal((rows, size), dtype=np.float32) for i, (size, _) in enumerate(shapes)}
    session.run(None, inputs)
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        started = time.perf_counter()
        session.run(None, inputs)
        best = min(best, time.perf_counter() - started)
    return 2.0 * rows * sum(inputs * outputs for inputs, outputs in shapes) / best


def products_model(shapes: list[tuple[int, int]]) -> bytes:
    """An ONNX model of one MatMul a shape, x0 to y0, x1 to y1..., with constant matrices, as in the generator.

    Written by hand, as the package onnx is none that this program needs to run; numbers are those of onnx.proto.
    """
    graph = _field(2, b"products")
    rng = np.random.default_rng(0)
    for i, (inputs, outputs) in enumerate(shapes):
        x, y, w = f"x{i}".encode(), f"y{i}".encode(), f"w{i}".encode()
        weights = rng.standard_normal((inputs, outputs), dtype=np.float32).astype("<f4").tobytes()
        graph += _field(1, _field(1, x) + _field(1, w) + _field(2, y) + _field(4, b"MatMul"))
        graph += _field(5, _field(1, inputs) + _field(1, outputs) + _field(2, 1) + _field(8, w) + _field(9, weights))
        for number, name, size in ((11, x, inputs), (12, y, outputs)):
            shape = _field(1, _field(2, b"rows")) + _field(1, _field(1, size))
            graph += _field(number, _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape))))
    return _field(1, 8) + _field(8, _field(2, 17)) + _field(7, graph)  # IR version 8, opset 17


def _field(number: int, value: int | bytes) -> bytes:
    """A protobuf field: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
