"""Runs a checkpoint's models: the same interface on ONNX Runtime (the default) and on torch."""

from __future__ import annotations

from ..checkpoint.layout import Checkpoint
from ..config.settings import VocoderConfig, differing
from ..errors import SmgError, UsageError
from .base import Runtime

BACKENDS = ("auto", "onnx", "torch")


def open_runtime(
    checkpoint: Checkpoint,
    backend: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    vocoder: Checkpoint | VocoderConfig | None = None,
) -> Runtime:
    """The runtime for a checkpoint.

    Args:
        backend: "onnx", "torch", or "auto": torch where a device other than the CPU is named, else ONNX Runtime.
        device: "cpu", or what torch calls another one ("cuda", "cuda:1", "mps").
        threads: CPU threads; None takes all that this process may use.
        vocoder: another checkpoint to take the vocoder from, or the settings of one that needs no weights.

    Raises:
        SmgError: unknown backend, ONNX Runtime asked for another device than the CPU, torch or its device missing, or
            a vocoder made for other mels.
    """
    from ..threads import allowed_threads

    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}; use one of {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; use 1 or more")
    if isinstance(vocoder, Checkpoint) and (other := differing(vocoder.config.mel, checkpoint.config.mel)):
        raise SmgError(
            f"the vocoder of {vocoder.directory} was made for other mels than {checkpoint.config.name!r} has: {other}"
        )
    threads = threads or allowed_threads()
    if backend == "auto":
        backend = "onnx" if device == "cpu" else "torch"
    if backend == "onnx":
        if device != "cpu":
            raise UsageError(f"the onnx backend runs on the CPU, not on {device!r}; use --backend torch")
        from .onnx import OnnxRuntime

        return OnnxRuntime(checkpoint, threads, vocoder)
    from .torch import TorchRuntime

    return TorchRuntime(checkpoint, threads, vocoder, device)
