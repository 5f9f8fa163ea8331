"""The models on torch: for GPUs, and as the reference that the ONNX graphs are compared with."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..checkpoint.layout import Checkpoint
from ..config.settings import VocoderConfig
from ..errors import SmgError
from ..models.parts import PARTS
from .base import Runtime

if TYPE_CHECKING:
    from torch import nn

    from .onnx import OnnxRuntime


class TorchRuntime(Runtime):
    """Inference with the torch models on any device that torch knows."""

    backend = "torch"

    def __init__(
        self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | VocoderConfig | None = None,
        device: str = "cpu",
    ):  # fmt: skip
        """Raises SmgError where torch or the device is missing."""
        super().__init__(checkpoint, threads, vocoder)
        try:
            import torch
        except ImportError:
            raise SmgError("the torch backend needs PyTorch: pip install '.[torch]' in a checkout of smg") from None
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError):
            raise SmgError(f"device {device!r} is not available to torch on this machine; use cpu") from None
        torch.set_num_threads(threads)
        self.torch, self.device = torch, torch.device(device)
        self._models: dict[str, nn.Module | None] = {}

    def model(self, graph: str) -> nn.Module | None:
        """The network that a graph belongs to, with the checkpoint's weights; None for one kept as a graph alone."""
        network = PARTS[graph].network
        if network.section not in self._models:
            self._models[network.section] = self._load(graph)
        return self._models[network.section]

    def _load(self, graph: str) -> nn.Module | None:
        checkpoint, network = self.checkpoint_of(graph), PARTS[graph].network
        model = network.build(checkpoint.config)
        if model is None:
            return None
        try:
            model.load_state_dict({name: self.torch.from_numpy(a) for name, a in self.weights(graph).items()})
        except RuntimeError as error:
            path, reason = checkpoint.directory / network.weights, str(error).splitlines()[0]
            raise SmgError(f"{path}: weights do not fit config.json ({reason})") from None
        return model.to(self.device).eval().requires_grad_(False)

    def _compute(self, part, inputs):
        model = self.model(part.graph)
        if model is None:
            return self._on_onnx.run(part.graph, **inputs)
        arrays = (inputs[array.name] for array in part.signature(self.config).inputs)
        with self.torch.inference_mode():
            made = getattr(model, part.method)(*(self.torch.as_tensor(array, device=self.device) for array in arrays))
        return made.cpu().numpy()

    @functools.cached_property
    def _on_onnx(self) -> OnnxRuntime:
        """For what is kept as a graph alone."""
        from .onnx import OnnxRuntime

        return OnnxRuntime(self.checkpoint, self.threads)
