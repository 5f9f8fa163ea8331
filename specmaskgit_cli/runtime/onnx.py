"""The models on ONNX Runtime, without torch."""

from __future__ import annotations

import json

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..errors import SmgError
from .base import Runtime


class OnnxRuntime(Runtime):
    """CPU inference; graphs hold no weights and are given those of the safetensors files."""

    backend = "onnx"

    def __init__(self, checkpoint: Checkpoint, threads: int, vocoder: Checkpoint | None = None):
        super().__init__(checkpoint, threads, vocoder)
        self._sessions: dict[str, object] = {}

    def _run(self, graph: str, **inputs: np.ndarray) -> np.ndarray:
        if graph not in self._sessions:
            self._sessions[graph] = self._open(graph)
        return self._sessions[graph].run(None, inputs)[0]

    def _open(self, graph: str):
        import onnxruntime as ort

        path = self.source(graph).path(f"onnx/{graph}.onnx")
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Workers spin between the operators of a run, without which two threads are no faster than one, but not after.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        weights = self.weights(graph)
        names = json.loads(self.source(graph).path(f"onnx/{graph}.json").read_bytes())
        missing = [name for name in names if name not in weights]
        if missing:
            raise SmgError(f"{path}: the weights beside it have no {missing[0]!r}; pull or pack it again")
        options.add_external_initializers(names, [ort.OrtValue.ortvalue_from_numpy(weights[name]) for name in names])
        try:
            return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # every status code of ONNX Runtime is a class of its own below Exception
            reason = str(error).splitlines()[0]
            raise SmgError(f"{path}: does not fit the weights beside it ({reason}); pull or pack it again") from None

    def embed_audio(self, mel):
        return self._run("audio_encoder", mel=mel)

    def encode(self, mel):
        return self._run("tokenizer_encoder", mel=mel)

    def decode(self, tokens, noise):
        return self._run("tokenizer_decoder", tokens=tokens, noise=noise)

    def hidden(self, tokens, mask, condition, dropped):
        return self._run("generator", tokens=tokens, mask=mask, condition=condition, dropped=dropped)

    def logits(self, hidden, codes, level):
        return self._run("head", hidden=hidden, codes=codes, level=np.array(level, np.int64))

    def vocode(self, mel):
        return self._run("vocoder", mel=mel)
