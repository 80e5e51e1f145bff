"""The Frechet distance of two sets of features, seen as two Gaussians.

    d^2 = |mu_1 - mu_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1 C_2)^(1/2)

With the centred features A and B, scaled so that C_1 = A'A and C_2 = B'B, the last trace is the sum of the
singular values of A B': a matrix of the number of samples, not of features. That needs no square root of a
matrix, is exact when there are fewer samples than features, and never complex.

Source: Dowson and Landau 1982; Heusel et al., arXiv:1706.08500, equation 6.
"""

import numpy as np
from jaxtyping import Float


def frechet_distance(first: Float[np.ndarray, "n f"], second: Float[np.ndarray, "m f"]) -> float:
    """Return the squared Frechet distance of two sets of features, what is called FID.

    Args:
        first: Features, a row each; at least two rows.
        second: Features of the other set.

    Raises:
        ValueError: If a set has fewer than two rows, or a feature is not finite.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a covariance needs two samples, got {len(first)} and {len(second)}")
    mean_1, root_1 = _moments(first)
    mean_2, root_2 = _moments(second)
    overlap = np.linalg.svd(root_1 @ root_2.T, compute_uv=False).sum()
    distance = np.sum((mean_1 - mean_2) ** 2) + np.sum(root_1**2) + np.sum(root_2**2) - 2.0 * overlap
    return float(max(distance, 0.0))


def _moments(features: Float[np.ndarray, "n f"]) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, "n f"]]:
    features = np.asarray(features, dtype=np.float64)
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")
    mean = features.mean(axis=0)
    return mean, (features - mean) / np.sqrt(len(features) - 1)
