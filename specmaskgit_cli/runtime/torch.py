"""The models on torch: for GPUs, and as the reference that the ONNX graphs are compared with."""

from __future__ import annotations

import functools

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..errors import SmgError
from .base import Runtime


class TorchRuntime(Runtime):
    """Inference with the torch models on any device that torch knows."""

    backend = "torch"

    def __init__(self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | None = None, device: str = "cpu"):
        """Raises SmgError where torch or the device is missing."""
        super().__init__(checkpoint, threads, vocoder)
        try:
            import torch
        except ImportError:
            raise SmgError("the torch backend needs PyTorch: pip install 'specmaskgit-cli[torch]'") from None
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError):
            raise SmgError(f"device {device!r} is not available to torch on this machine; use cpu") from None
        torch.set_num_threads(threads)
        self.torch, self.device = torch, torch.device(device)
        self._models: dict[str, object] = {}

    def model(self, graph: str):
        """The model that holds a graph, with the checkpoint's weights."""
        name = graph.removesuffix("_encoder").removesuffix("_decoder") if graph.startswith("tokenizer") else graph
        if name not in self._models:
            model = self._build(name)
            tensors = {k: self.torch.from_numpy(v) for k, v in self.weights(graph).items()}
            try:
                model.load_state_dict(tensors)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise SmgError(
                    f"{self.checkpoint.directory}: {name} weights do not fit config.json ({reason})"
                ) from None
            self._models[name] = model.to(self.device).eval().requires_grad_(False)
        return self._models[name]

    def _build(self, name: str):
        from ..models.embedder import AudioTower
        from ..models.envelope import EnvelopeEstimator
        from ..models.generator import Generator
        from ..models.tokenizer import Tokenizer
        from ..models.vocoders import build_vocoder

        config = self.config
        if name == "tokenizer":
            return Tokenizer(config.tokenizer, config.mel)
        if name == "generator":
            return Generator(config.generator, config.tokenizer, config.rows)
        if name == "audio_encoder":
            return AudioTower(config.embedder, config.mel)
        if name == "envelope":
            return EnvelopeEstimator(config.envelope)
        return build_vocoder(self.source("vocoder").config.vocoder, config.mel)

    def _call(self, function, *arrays: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return function(*(self.torch.as_tensor(a, device=self.device) for a in arrays)).cpu().numpy()

    def tower(self, mel):
        return self._call(self.model("audio_encoder"), mel)

    def clap(self, features):
        return self._on_onnx.clap(features)

    @functools.cached_property
    def _on_onnx(self):
        """A CLAP is kept as a graph alone, as the text encoder is."""
        from .onnx import OnnxRuntime

        return OnnxRuntime(self.checkpoint, self.threads)

    def encode(self, mel):
        return self._call(self.model("tokenizer_encoder").encode, mel)

    def decode(self, tokens, noise):
        return self._call(self.model("tokenizer_decoder").decode, tokens, noise)

    def hidden(self, tokens, mask, condition, dropped, cells):
        return self._call(self.model("generator").hidden, tokens, mask, condition, dropped, cells)

    def features(self, tokens, mask, condition, dropped):
        return self._call(self.model("generator").features, tokens, mask, condition, dropped)

    def logits(self, hidden, codes, level, against, scale):
        level = np.array(level, np.int64)
        return self._call(self.model("generator").guided_logits, hidden, codes, level, against, scale)

    def vocode(self, mel):
        return self._call(self.model("vocoder"), mel)

    def estimate(self, found, known, heard):
        return self._call(self.model("envelope"), found, known, heard)
