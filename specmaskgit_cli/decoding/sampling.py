"""Drawing codes from logits, and the orders in which positions can be decoded."""

from __future__ import annotations

import numpy as np

ORDERS = ("confidence", "halton", "random", "raster")


def draw_noise(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Standard exponential noise, negated: float32 [rows, size], one row for each code to be drawn."""
    noise = rng.random((rows, size), dtype=np.float32)
    with np.errstate(divide="ignore"):  # 0 can be drawn; the infinity it becomes wins over nothing
        return np.log(noise, out=noise)


def sample(
    logits: np.ndarray, noise: np.ndarray, temperature: float = 1.0, top_p: float = 1.0, confidence: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """One categorical draw a row by the Gumbel-max method, as a race: the code with the least of exponential noise over
    probability, which is that with the most of logit and Gumbel noise, without the logarithms.

    Logits of another batch shape or thread count differ in their last bits. A draw by Gumbel-max flips only when the
    best two candidates are that close; by inverse CDF every boundary between codes is a place to flip, some 10 to 30
    times as many. The few random numbers that inverse CDF would save are not worth it.

    Args:
        logits: float32 [M, codes].
        noise: of the same shape, from `draw_noise`.
        temperature: divides the logits; above 0.
        top_p: keep the most probable codes that together reach this probability; 1 keeps all.
        confidence: whether the log-probabilities are wanted.

    Returns:
        codes int64 [M] and their log-probabilities float32 [M] under `logits` themselves: as in MaskGIT, temperature
        and top-p change what is drawn but not how sure the model was of it.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    scaled = shifted if temperature == 1 else shifted / np.float32(temperature)
    if top_p < 1:
        scaled = keep_top_p(scaled, top_p)
    weights = np.exp(scaled)
    total = (weights if scaled is shifted else np.exp(shifted)).sum(axis=-1) if confidence else None
    codes = np.argmin(np.divide(weights, noise, out=weights), axis=-1)  # the noise is negative
    if not confidence:
        return codes, None
    return codes, np.take_along_axis(shifted, codes[:, None], axis=-1)[:, 0] - np.log(total)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in the precision of `logits`; each row is computed by itself."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def keep_top_p(logits: np.ndarray, top_p: float) -> np.ndarray:
    """`logits` [M, codes] with -inf outside the smallest set of codes whose probability reaches `top_p`.

    The most probable code always stays (nucleus sampling, arXiv 1904.09751).
    """
    order = np.argsort(-logits, axis=-1, kind="stable")
    probabilities = np.exp(log_softmax(np.take_along_axis(logits, order, axis=-1)))
    before = np.cumsum(probabilities, axis=-1) - probabilities
    before[:, 0] = 0  # the subtraction may leave a rounding error above a tiny `top_p`
    kept = np.empty(logits.shape, dtype=bool)
    np.put_along_axis(kept, order, before < top_p, axis=-1)
    return np.where(kept, logits, -np.inf).astype(logits.dtype)


def best(score: np.ndarray, owner: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The entries with the highest score, for each owner as many as it keeps.

    Args:
        score: float [M].
        owner: int [M], ascending: whose entry it is.
        keep: int [owners]: how many entries of each to take.

    Returns:
        ascending indices into the M entries; of equal scores the lower index is taken.
    """
    order = np.lexsort((-score, owner))
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return np.sort(order[place < keep[owner]])


def halton_order(rows: int, columns: int) -> np.ndarray:
    """All cells of a grid in the order in which a Halton sequence (bases 2 and 3) first visits them.

    Successive cells are far from each other, so tokens decoded in one step depend little on one another
    (Besnier et al., arXiv 2503.17076).

    Returns:
        int64 [rows * columns]: flat indices, row by row, each once.
    """
    cells = rows * columns
    points = 2 * cells
    while True:
        index = np.arange(1, points + 1)
        row = np.floor(_radical_inverse(index, 2) * rows)
        column = np.floor(_radical_inverse(index, 3) * columns)
        visited, first = np.unique((row * columns + column).astype(np.int64), return_index=True)
        if len(visited) == cells:
            return visited[np.argsort(first)]
        points *= 2


def raster_order(rows: int, columns: int) -> np.ndarray:
    """All cells of a grid column by column, each from its first row on: in time, low frequencies first.

    Returns:
        int64 [rows * columns]: flat indices, row by row, each once.
    """
    return np.arange(rows * columns).reshape(rows, columns).T.ravel()


def _radical_inverse(index: np.ndarray, base: int) -> np.ndarray:
    """The digits of `index` mirrored at the point: float64 in [0, 1)."""
    value, digit = np.zeros(index.shape), 1.0
    while index.any():
        digit /= base
        value += digit * (index % base)
        index = index // base
    return value
