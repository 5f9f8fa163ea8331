"""Distances between two sets of sounds, from their embeddings [n, D]; in numpy alone."""

from __future__ import annotations

import numpy as np

KERNEL_SCALE = 100.0  # of the kernel distance, as in its authors' toolkit


def frechet(reference: np.ndarray, other: np.ndarray) -> float:
    """Fréchet audio distance (Kilgour et al., arXiv 1812.08466): that of two Gaussians with the sets' moments.

    Biased upwards for small sets, the more so the more dimensions: compare sets of one size only.
    """
    (mean, covariance), (other_mean, other_covariance) = _moments(reference), _moments(other)
    return frechet_gaussians(mean, covariance, other_mean, other_covariance)


def frechet_gaussians(mean: np.ndarray, covariance: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray) -> float:
    """Squared Fréchet distance of two Gaussians, with means [D] and covariances [D, D]."""
    # The square root of A B has the trace of that of sqrt(A) B sqrt(A), which is symmetric.
    root = _square_root(covariance)
    product = np.linalg.eigvalsh(root @ covariance2 @ root)
    cross = np.sqrt(np.maximum(product, 0)).sum()
    return float(((mean - mean2) ** 2).sum() + np.trace(covariance) + np.trace(covariance2) - 2 * cross)


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


def _moments(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    embeddings = np.asarray(embeddings, np.float64)
    return embeddings.mean(axis=0), np.cov(embeddings, rowvar=False)


def _square_root(matrix: np.ndarray) -> np.ndarray:
    """Of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)
