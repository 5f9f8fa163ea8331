"""How codes are drawn from logits: one class a strategy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NONE = np.zeros(0, np.float32)


class Sampler:
    """Draws one code for each row of logits.

    Args:
        temperature: divides the logits; above 0.
        top_p: keep the most probable codes that together reach this probability; 1 keeps all.
    """

    def __init__(self, temperature: float = 1.0, top_p: float = 1.0):
        self.temperature, self.top_p = temperature, top_p

    def draw(
        self, logits: np.ndarray, item: np.ndarray, rngs: Sequence[np.random.Generator], confidence: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw codes, and tell how sure the model was of them.

        Args:
            logits: float32 [M, codes].
            item: int [M], ascending: the item each row belongs to.
            rngs: the generator of each item, from which its rows are drawn.
            confidence: whether the log-probabilities are wanted.

        Returns:
            codes int64 [M] and their log-probabilities float32 [M] under `logits` themselves: as in MaskGIT,
            temperature and top-p change what is drawn but not how sure the model was of it. Empty if not wanted.
        """
        raise NotImplementedError


class Nucleus(Sampler):
    """A categorical draw among the most probable codes (nucleus sampling, arXiv 1904.09751), by the Gumbel-max method.

    It runs as a race: the code with the least of exponential noise over probability wins, which is the one with the
    most of logit plus Gumbel noise, without the logarithms.

    Logits of another batch shape or thread count differ in their last bits. A draw by Gumbel-max flips only when the
    best two candidates are that close; by inverse CDF every boundary between codes is a place to flip, some 10 to 30
    times as many. The few random numbers that inverse CDF would save are not worth it.
    """

    def draw(
        self, logits: np.ndarray, item: np.ndarray, rngs: Sequence[np.random.Generator], confidence: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        noise = _noise(logits.shape[1], item, rngs)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        scaled = shifted if self.temperature == 1 else shifted / np.float32(self.temperature)
        if self.top_p < 1:
            scaled = keep_top_p(scaled, self.top_p)
        weights = np.exp(scaled)
        total = (weights if scaled is shifted else np.exp(shifted)).sum(axis=-1) if confidence else _NONE
        codes = np.argmin(np.divide(weights, noise, out=weights), axis=-1)  # the noise is negative
        if not confidence:
            return codes, _NONE
        return codes, np.take_along_axis(shifted, codes[:, None], axis=-1)[:, 0] - np.log(total)


class Greedy(Sampler):
    """The most probable code, whatever the seed: the limit of a low temperature or a low top-p."""

    def draw(
        self, logits: np.ndarray, item: np.ndarray, rngs: Sequence[np.random.Generator], confidence: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        return np.argmax(logits, axis=-1), log_softmax(logits).max(axis=-1) if confidence else _NONE


SAMPLERS: dict[str, type[Sampler]] = {"nucleus": Nucleus, "greedy": Greedy}


def _noise(codes: int, item: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Standard exponential noise, negated: float32 [M, codes], the rows of each item from its own generator."""
    rows = np.bincount(item, minlength=len(rngs))
    drawn = [rng.random((n, codes), dtype=np.float32) for n, rng in zip(rows, rngs, strict=True) if n]
    noise = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)
    with np.errstate(divide="ignore"):  # 0 can be drawn; the infinity it becomes wins over nothing
        return np.log(noise, out=noise)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in the precision of `logits`; each row is computed by itself."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def keep_top_p(logits: np.ndarray, top_p: float) -> np.ndarray:
    """`logits` [M, codes] with -inf outside the smallest set of codes whose probability reaches `top_p`.

    The most probable code always stays.
    """
    order = np.argsort(-logits, axis=-1, kind="stable")
    probabilities = np.exp(log_softmax(np.take_along_axis(logits, order, axis=-1)))
    before = np.cumsum(probabilities, axis=-1) - probabilities
    before[:, 0] = 0  # the subtraction may leave a rounding error above a tiny `top_p`
    kept = np.empty(logits.shape, dtype=bool)
    np.put_along_axis(kept, order, before < top_p, axis=-1)
    return np.where(kept, logits, -np.inf).astype(logits.dtype)
