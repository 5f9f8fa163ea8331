"""Sentence embeddings on ONNX Runtime: the text side of the condition, the same for every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import SmgError


class TextEncoder:
    """Tokenizer and int8 sentence encoder.

    Texts run one by one, unpadded: dynamic quantisation takes one scale for a whole activation tensor, so that in a
    batch the embedding of a text would depend on its neighbours.
    """

    def __init__(
        self,
        onnx_path: str | Path,
        tokenizer_path: str | Path,
        max_tokens: int = 64,
        threads: int = 1,
        ours: bool = False,
    ):
        """Load both files; texts beyond `max_tokens` tokens are cut. `ours` as in `open_session`.

        Raises:
            SmgError: a file is missing or unreadable, or would have another one read.
        """
        from tokenizers import Tokenizer

        from . import ort

        for path in (onnx_path, tokenizer_path):
            if not Path(path).is_file():
                raise SmgError(f"{path}: no such file; the checkpoint is incomplete, fetch it again")
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_path))
        except Exception as error:  # tokenizers raises plain Exception
            raise SmgError(f"{tokenizer_path}: not a tokenizer file ({error}); fetch the checkpoint again") from error
        try:
            self._session = ort.open_session(str(onnx_path), ort.session_options(threads), ours=ours)
            self.dim = int(self._session.get_outputs()[0].shape[1])
        except SmgError:
            raise
        except Exception as error:  # as open_session says
            raise SmgError(f"{onnx_path}: not a loadable ONNX model; fetch the checkpoint again") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._path = onnx_path

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Embed texts: float32 [B, D], unit length. Repeated texts are computed once."""
        known: dict[str, np.ndarray] = {}
        for text in texts:
            if text not in known:
                ids = np.asarray([self._tokenizer.encode(text).ids], dtype=np.int64)
                known[text] = self._run(ids)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, self.dim), np.float32)

    def _run(self, ids: np.ndarray) -> np.ndarray:
        """The embedding of token ids [1, n], float32 [D]. Raises SmgError where the model gives none."""
        try:
            made = self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        except Exception as error:  # as for the session itself
            reason = (str(error).splitlines() or [""])[0]
            raise SmgError(f"{self._path}: not a sentence encoder ({reason}); fetch the checkpoint again") from error
        if made.shape != (1, self.dim) or not np.isfinite(made).all():
            raise SmgError(f"{self._path}: not a sentence encoder; fetch the checkpoint again")
        return made[0]
