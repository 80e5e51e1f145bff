"""The Frechet distance of two sets of features, each taken as a Gaussian.

    d^2 = |mu_1 - mu_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1 C_2)^(1/2)

The root of the matrix product is slow, may come out complex and fails on covariances of low rank. Its trace is computed
in two other ways, both real and in float64:

    fewer samples than features   C_1 = A'A and C_2 = B'B with the scaled, centred features A and B; the trace
                                  is the sum of the singular values of A B', a matrix of samples by samples
    otherwise                     the sum of the roots of the eigenvalues of C_1^(1/2) C_2 C_1^(1/2)

The second needs only the moments of each set, which merge: a large set is counted in chunks.

Source: Dowson and Landau 1982; Heusel et al., arXiv:1706.08500, equation 6; Chan, Golub and LeVeque 1983 for
the merging of moments.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Float, Num

from medsyn2.evaluation.fidelity.sizes import FRECHET_CHUNK_ROWS as _CHUNK_ROWS


@dataclass(frozen=True)
class Moments:
    """Number, mean and scatter of a set of features, float64."""

    num: int  # Samples
    mean: Float[np.ndarray, " f"]  # Their mean
    scatter: Float[np.ndarray, "f f"]  # Sum of the outer products of their deviations from the mean

    @classmethod
    def of(cls, features: Float[np.ndarray, "n f"]) -> "Moments":
        """Return the moments of features, a row each."""
        values = np.asarray(features, dtype=np.float64)
        mean = values.mean(axis=0)
        deviation = values - mean
        return cls(len(values), mean, deviation.T @ deviation)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together."""
        num = self.num + other.num
        shift = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(shift, shift) * (self.num * other.num / num)
        return Moments(num, self.mean + shift * (other.num / num), scatter)

    @property
    def covariance(self) -> Float[np.ndarray, "f f"]:
        """The unbiased covariance."""
        return self.scatter / (self.num - 1)


def frechet_distance(first: Float[np.ndarray, "n f"], second: Float[np.ndarray, "m f"]) -> float:
    """Return the squared Frechet distance of two sets of features, known as FID.

    Raises:
        ValueError: If a set has fewer than two rows, or a feature is not finite.
    """
    return frechet_distance_of_counts(first, second, np.ones(len(first), np.int64), np.ones(len(second), np.int64))


def frechet_distance_of_counts(
    first: Float[np.ndarray, "n f"],
    second: Float[np.ndarray, "m f"],
    first_counts: Num[np.ndarray, " n"],
    second_counts: Num[np.ndarray, " m"],
) -> float:
    """Return the squared distance of two sets whose rows have integer counts, as in a resample."""
    sets = [_select_rows(first, first_counts), _select_rows(second, second_counts)]
    if min(len(rows) for rows, _ in sets) < first.shape[1]:
        (mean_1, root_1), (mean_2, root_2) = (_mean_and_root(rows, counts) for rows, counts in sets)
        overlap = np.linalg.svd(root_1 @ root_2.T, compute_uv=False).sum()
        distance = np.sum((mean_1 - mean_2) ** 2) + np.sum(root_1**2) + np.sum(root_2**2) - 2 * overlap
        return float(max(distance, 0.0))
    return frechet_distance_of_moments(*(_moments(rows, counts) for rows, counts in sets))


def frechet_distance_of_moments(first: Moments, second: Moments) -> float:
    """Return the squared Frechet distance from the moments of two sets."""
    if min(first.num, second.num) < 2:
        raise ValueError(f"a covariance needs two samples, got {first.num} and {second.num}")
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second.covariance @ root), 0, None)).sum()
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return float(max(np.sum((first.mean - second.mean) ** 2) + traces - 2 * overlap, 0.0))


def _select_rows(
    features: Float[np.ndarray, "n f"], counts: Num[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "m f"], Num[np.ndarray, " m"]]:
    if counts.sum() < 2:
        raise ValueError(f"a covariance needs two samples, got {int(counts.sum())}")
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")
    return features[counts > 0], counts[counts > 0]


def _moments(rows: Float[np.ndarray, "n f"], counts: Num[np.ndarray, " n"]) -> Moments:
    """Return the moments of rows, in chunks: float64 copies of all would take several times their memory."""
    chunks = (slice(start, start + _CHUNK_ROWS) for start in range(0, len(rows), _CHUNK_ROWS))
    return reduce(Moments.merge, (Moments.of(np.repeat(rows[one], counts[one], axis=0)) for one in chunks))


def _mean_and_root(
    rows: Float[np.ndarray, "n f"], counts: Num[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, "n f"]]:
    """Return the mean, and the matrix A with A'A the covariance."""
    rows, total = np.asarray(rows, dtype=np.float64), counts.sum()
    mean = counts @ rows / total
    return mean, (rows - mean) * np.sqrt(counts / (total - 1))[:, None]
