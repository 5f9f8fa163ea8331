"""Distances between two sets of sounds, from their embeddings [n, D]; in numpy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

KERNEL_SCALE = 100.0  # of the kernel distance, as in its authors' toolkit
PARTS = 10  # of a set, each left out once for a standard error


def frechet(reference: np.ndarray, other: np.ndarray) -> float:
    """Fréchet audio distance (Kilgour et al., arXiv 1812.08466): that of two Gaussians with the sets' moments.

    Biased upwards for small sets, the more so the more dimensions: compare sets of one size only.
    """
    (mean, root), (other_mean, other_root) = _moments(reference), _moments(other)
    # With A = R'R and B = S'S, the square root of A B has as trace the sum of the singular values of R S'.
    cross = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    return float(((mean - other_mean) ** 2).sum() + (root**2).sum() + (other_root**2).sum() - 2 * cross)


def kernel_distance(reference: np.ndarray, other: np.ndarray) -> float:
    """Kernel audio distance (Chung et al., "KAD: No More FAD!", arXiv 2502.15602), times 100.

    The unbiased squared maximum mean discrepancy (Gretton et al., JMLR 13, 2012) with a Gaussian kernel as wide as the
    median distance within the reference. Its expectation is 0 for two sets of one kind whatever their size, so single
    values may lie below 0.
    """
    within, of_other, between = _squared(reference, reference), _squared(other, other), _squared(reference, other)
    width = np.median(within[np.triu_indices(len(reference), 1)]) + 1e-12
    kernels = [np.exp(-distances / (2 * width)) for distances in (within, of_other, between)]
    same = sum((kernel.sum() - len(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels[:2])
    return float(KERNEL_SCALE * (same - 2 * kernels[2].mean()))


def mean_pairwise(embeddings: np.ndarray) -> float:
    """Mean cosine distance between the pairs of a set of unit vectors [n, D], n of 2 or more."""
    cosines = embeddings @ embeddings.T
    return float(1 - cosines[np.triu_indices(len(embeddings), 1)].mean())


def jackknife(value: Callable[[np.ndarray], float], count: int) -> float | None:
    """Standard error of a statistic of `count` items, from leaving out a part of them at a time (Efron and Stein, The
    Annals of Statistics 9, 1981).

    Args:
        value: the statistic, of the indices of the items that are kept.

    Returns:
        None where there are fewer than 4 items.
    """
    if count < 4:
        return None
    parts = min(PARTS, count)
    owner = np.arange(count) % parts
    values = np.array([value(np.flatnonzero(owner != part)) for part in range(parts)])
    return float(np.sqrt((parts - 1) / parts * ((values - values.mean()) ** 2).sum()))


def share_error(share: float, count: int) -> float:
    """Standard error of a share of `count` items, by Agresti and Coull (American Statistician 52, 1998): above 0 for
    shares of 0 and 1 too."""
    share = (share * count + 2) / (count + 4)
    return float(np.sqrt(share * (1 - share) / (count + 4)))


def _moments(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D], and a matrix R [at most D, D] so that the covariance is R'R."""
    embeddings = np.asarray(embeddings, np.float64)
    mean = embeddings.mean(axis=0)
    return mean, np.linalg.qr(embeddings - mean, mode="r") / np.sqrt(len(embeddings) - 1)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)
