"""Sentence embeddings on ONNX Runtime: the text side of the condition, the same for every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..bounds import MAX_TEXT
from ..errors import SmgError
from .tokenizer import open_tokenizer, panics_as_errors


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
        """Load both files; `ours` as in `open_session`. Texts beyond `max_tokens` tokens or MAX_TEXT letters are cut.

        Raises:
            SmgError: a file is missing or unreadable, would have another one read, or is of a kind that may not end.
        """
        from . import ort

        if not Path(onnx_path).is_file():
            raise SmgError(f"{onnx_path}: no such file; the checkpoint is incomplete, fetch it again")
        self._tokenizer = open_tokenizer(Path(tokenizer_path))
        try:
            self._session = ort.open_session(str(onnx_path), ort.session_options(threads), ours=ours)
            self.dim = int(self._session.get_outputs()[0].shape[1])
        except SmgError:
            raise
        except Exception as error:  # as open_session says
            raise SmgError(f"{onnx_path}: not a loadable ONNX model; fetch the checkpoint again") from error
        self._tokenizer.enable_truncation(max_tokens)
        self._path, self._tokenizer_path = onnx_path, tokenizer_path

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Embed texts: float32 [B, D], unit length. Repeated ones are computed once; SmgError where it cannot."""
        known: dict[str, np.ndarray] = {}
        for text in texts:
            if text not in known:
                with panics_as_errors(f"{self._tokenizer_path}: it cannot read {text[:50]!r}"):
                    ids = self._tokenizer.encode(text[:MAX_TEXT]).ids
                known[text] = self._run(np.asarray([ids], np.int64))
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
