"""ONNX Runtime, as the rest of the program has it: without telemetry, and for graphs that read no other file.

Nothing else imports it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

# It is to be set before the import, which otherwise leaves a device id in the home directory and tries to send events.
# Whatever the variable was: this program says that it sends nothing.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from .external import check_external

__version__ = onnxruntime.__version__


def session_options(threads: int | None = None) -> onnxruntime.SessionOptions:
    """Options of a session that reports errors alone; `threads` of an operator, None: as many as there are cores."""
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Workers spin between the operators of a run, without which two threads are no faster than one, but not after.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def open_session(
    model: str | os.PathLike | bytes,
    options: onnxruntime.SessionOptions,
    weights: Mapping[str, np.ndarray] | None = None,
    ours: bool = False,
    **more,
) -> onnxruntime.InferenceSession:
    """A session on the CPU of a graph in a file, or of its bytes.

    Args:
        weights: arrays for those initialisers of the graph that it does not hold itself, by their names.
        ours: this program has just written the file, and its weights may lie in another beside it.
        more: goes to ONNX Runtime as it is.

    Raises:
        SmgError: the file would have another one read, as `check_external` says.
        Exception: the graph does not load. Every status code of ONNX Runtime is a class of its own right below
            Exception.
    """
    if not (ours or isinstance(model, bytes)):
        check_external(model, weights or ())
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        options.add_external_initializers(list(weights), values)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], **more)


def quantize_dynamic(source: os.PathLike, target: os.PathLike, weights: str, **more) -> None:
    """ONNX Runtime's dynamic quantisation from file to file, with weights as "QInt8" or "QUInt8". It needs onnx."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType[weights], **more)
