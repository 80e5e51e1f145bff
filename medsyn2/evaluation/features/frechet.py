"""The Frechet distance of two sets of features, each taken as a Gaussian, and the influence of each sample on it.

    d^2 = |mu_1 - mu_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1 C_2)^(1/2)

The root of the matrix product is slow, may come out complex and fails on covariances of low rank. With any factors
C_1 = R_1 R_1' and C_2 = R_2 R_2' its trace is the sum of the singular values of K = R_2' R_1, real and in float64. A
factor is the scaled, centred features of a set with fewer samples than features, else the pivoted Cholesky factor of
the covariance. The covariance follows from moments, and those of several sets pool.

*Influence.* The derivative of d^2 by the weight of a sample x of the first set, of n samples, is

    2 (mu_1 - mu_2)'(x - mu_1) / n + (|x - mu_1|^2 - (x - mu_1)' T (x - mu_1) - tr C_1 + tr (C_1 C_2)^(1/2)) / (n - 1)

where T = R_2 (K K')^(-1/2) R_2' carries the first Gaussian to the second. The quadratic forms of all samples cost as
much as the moments, and tell how the distance varies with the patients without computing another one.

Source: Dowson and Landau 1982; Heusel et al., arXiv:1706.08500, equation 6; Takatsu, "Wasserstein geometry of Gaussian
measures", Osaka J. Math. 2011, for T; Efron, "The jackknife, the bootstrap and other resampling plans", 1982, chapter
6, for influences; Chan, Golub and LeVeque 1983 for the pooling of moments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg.lapack import dpstrf

from medsyn2.evaluation.features.sizes import FRECHET_CHUNK_ROWS as _CHUNK_ROWS

_LEAST_OVERLAP = 1e-7
"""Singular values below this share of the largest are rounding errors where they come from K K'."""


@dataclass(frozen=True)
class Moments:
    """Number, mean and scatter of a set of features, float64."""

    num: int  # Samples
    mean: Float[np.ndarray, " f"]  # Their mean
    scatter: Float[np.ndarray, "f f"]  # Sum of the outer products of their deviations from the mean

    @classmethod
    def of(cls, features: Float[np.ndarray, "n f"]) -> "Moments":
        """Return the moments of features, a row each."""
        mean = features.mean(axis=0, dtype=np.float64)
        scatter = np.zeros((len(mean), len(mean)))
        for rows in _chunks(features):
            rows -= mean
            scatter += rows.T @ rows
        return cls(len(features), mean, scatter)

    @classmethod
    def pool(cls, sets: Sequence["Moments"]) -> "Moments":
        """Return the moments of several sets together."""
        nums, means = np.array([one.num for one in sets]), np.array([one.mean for one in sets])
        mean = nums @ means / nums.sum()
        shifts = (means - mean) * np.sqrt(nums)[:, None]
        scatter = shifts.T @ shifts
        for one in sets:
            scatter += one.scatter
        return cls(int(nums.sum()), mean, scatter)


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian with the mean and the covariance of a set of features."""

    num: int  # Samples that it was fitted to
    mean: Float[np.ndarray, " f"]  # Their mean
    root: Float[np.ndarray, "f k"]  # A factor R of their unbiased covariance R R'

    @classmethod
    def of(cls, features: Float[np.ndarray, "n f"]) -> "Gaussian":
        """Fit a Gaussian to features, a row each.

        Raises:
            ValueError: If there are fewer than two, or one is not finite.
        """
        if len(features) < 2:
            raise ValueError(f"a covariance needs two samples, got {len(features)}")
        if not np.isfinite(features).all():
            raise ValueError("features must be finite")
        if len(features) > features.shape[1]:
            return cls.of_moments(Moments.of(features))
        mean = features.mean(axis=0, dtype=np.float64)
        return cls(len(features), mean, (features - mean).T / np.sqrt(len(features) - 1))

    @classmethod
    def of_moments(cls, moments: Moments) -> "Gaussian":
        """Return the Gaussian with the moments of a set."""
        lower, pivots, rank, _ = dpstrf(moments.scatter / (moments.num - 1), lower=1)
        root = np.zeros((len(lower), rank))
        root[pivots - 1] = np.tril(lower)[:, :rank]
        return cls(moments.num, moments.mean, root)


def frechet_distance(first: Float[np.ndarray, "n f"], second: Float[np.ndarray, "m f"]) -> float:
    """Return the squared Frechet distance of two sets of features, known as FID.

    Raises:
        ValueError: If a set has fewer than two rows, or a feature is not finite.
    """
    return distance_of_gaussians(Gaussian.of(first), Gaussian.of(second))


def distance_of_gaussians(first: Gaussian, second: Gaussian) -> float:
    """Return the squared Frechet distance of two Gaussians."""
    between = second.root.T @ first.root
    if min(first.num, second.num) > len(first.mean):
        # A third of the time, and no more error than the covariances have of their own.
        overlap = np.sqrt(np.clip(np.linalg.eigvalsh(between.T @ between), 0, None)).sum()
    else:
        overlap = np.linalg.svd(between, compute_uv=False).sum()
    traces = np.sum(first.root**2) + np.sum(second.root**2)
    return float(max(np.sum((first.mean - second.mean) ** 2) + traces - 2 * overlap, 0.0))


def influences(
    first: Float[np.ndarray, "n f"], second: Float[np.ndarray, "m f"], gaussians: tuple[Gaussian, Gaussian]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """Return the influence of each row on the squared distance, of either set.

    Args:
        gaussians: Those of the two sets.
    """
    one, other = gaussians
    there, back = _transport(one, other)
    shift = one.mean - other.mean
    return _influence(first, one, shift, there), _influence(second, other, -shift, back)


def _influence(
    features: Float[np.ndarray, "n f"], own: Gaussian, shift: Float[np.ndarray, " f"], root: Float[np.ndarray, "f r"]
) -> Float[np.ndarray, " n"]:
    """Return the influence of the rows of one set.

    Args:
        shift: Its mean less the other's.
        root: A factor of the map T to the other Gaussian.
    """
    # In single precision, half the time: I - T is formed before, so that no nearly equal numbers are subtracted.
    form = np.eye(len(root)) - root @ root.T
    spread = np.sum((form @ own.root) * own.root)
    form, found = form.astype(np.float32), []
    for rows in _chunks(features):
        rows -= own.mean
        single = rows.astype(np.float32)
        squares = np.einsum("nf,nf->n", single @ form, single)
        found.append(2 * rows @ shift / own.num + (squares - spread) / (own.num - 1))
    return np.concatenate(found)


def _transport(first: Gaussian, second: Gaussian) -> tuple[Float[np.ndarray, "f r"], Float[np.ndarray, "f r"]]:
    """Return factors of the maps from the first Gaussian to the second and back."""
    if first.root.shape[1] > second.root.shape[1]:
        back, there = _transport(second, first)
        return there, back
    between = second.root.T @ first.root
    squares, vectors = np.linalg.eigh(between.T @ between)
    values = np.sqrt(np.clip(squares, 0, None))
    kept = values > _LEAST_OVERLAP * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    return second.root @ (between @ (vectors * values**-1.5)), first.root @ (vectors * values**-0.5)


def _chunks(features: Float[np.ndarray, "n f"]) -> Iterator[Float[np.ndarray, "c f"]]:
    for start in range(0, len(features), _CHUNK_ROWS):
        yield features[start : start + _CHUNK_ROWS].astype(np.float64)
