"""A joint space of volumes and reports without weights: a ridge regression fitted to the training cases.

With a volume's features x and its report's features y, both centred on the training cases and x also scaled to unit
variance a feature,

    W = argmin  sum_i |W x_i - y_i|^2 + lambda |W|^2,

a volume's embedding is W x and a report's is y. Features outnumber cases, so the problem is solved in the space of
cases: W x = Y^T (K + lambda)^-1 k(x), with K the products of the training volumes. Lambda is the value of a geometric
grid with the smallest leave-one-out error, known without fitting again: with H = K (K + lambda)^-1 the residual of case
i, left out of the means too, is (y_i - (H Y)_i) / (1 - 1 / n - H_ii). Without the means' 1 / n a fit through every case
would seem to have no error.

The space measures how much of a report's variation is linear in the volume's features: enough to see whether a
generator's volumes fit their reports better than others', and far from a model trained on thousands of pairs. Its
scores compare only with each other.

Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, sections 3.4 and 7.10.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

PENALTIES = 10.0 ** np.arange(-4, 3.5, 0.5)
"""Candidates of lambda, in multiples of the mean of K's diagonal."""
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class LinearClip:
    """The fitted space."""

    image_mean: Float[np.ndarray, " f"]  # Mean of the training volumes' features
    # Their standard deviations; infinite for constant features, which then have no weight
    image_scale: Float[np.ndarray, " f"]
    text_mean: Float[np.ndarray, " e"]  # Mean of the training reports' features
    weights: Float[np.ndarray, "f e"]  # W, from scaled features of volumes to features of reports
    penalty: float  # The lambda taken, in multiples of the mean of K's diagonal
    num_cases: int  # Training cases

    @property
    def name(self) -> str:
        """Name in the tables."""
        return f"linear, fitted to {self.num_cases} training cases"

    @property
    def sha256(self) -> str:
        """Hash of the arrays that decide an embedding."""
        arrays = (self.image_mean, self.image_scale, self.text_mean, self.weights)
        return hashlib.sha256(b"".join(array.astype(np.float32).tobytes() for array in arrays)).hexdigest()

    def of_volumes(self, features: Float[np.ndarray, "v f"]) -> Float[np.ndarray, "v e"]:
        """Return the embedding of each volume."""
        return ((features - self.image_mean) / self.image_scale) @ self.weights

    def of_texts(self, features: Float[np.ndarray, "v e"]) -> Float[np.ndarray, "v e"]:
        """Return the embedding of each text."""
        return features - self.text_mean


def fit_linear_clip(volumes: Float[np.ndarray, "v f"], texts: Float[np.ndarray, "v e"]) -> LinearClip:
    """Fit the space to the training cases.

    Raises:
        ValueError: If there are fewer than three cases.
    """
    if len(volumes) < 3:
        raise ValueError(f"expected three or more cases, got {len(volumes)}")
    image_mean, spread = volumes.mean(axis=0), volumes.std(axis=0)
    scale = np.where(spread > _LEAST_SPREAD * np.abs(image_mean).max(), spread, np.inf)
    x, y = (volumes - image_mean) / scale, texts - texts.mean(axis=0)
    gram = x @ x.T
    values, vectors = np.linalg.eigh(gram)
    unit = max(float(np.trace(gram)) / len(gram), np.finfo(float).tiny)
    rotated = vectors.T @ y

    def leave_one_out_error(penalty: float) -> float:
        shrunk = values / (values + penalty * unit)
        residual = y - vectors @ (shrunk[:, None] * rotated)
        return float(((residual / (1 - 1 / len(x) - (vectors**2) @ shrunk)[:, None]) ** 2).sum())

    penalty = min(PENALTIES, key=leave_one_out_error)
    weights = x.T @ (vectors @ (rotated / (values + penalty * unit)[:, None]))
    return LinearClip(image_mean, scale, texts.mean(axis=0), weights, float(penalty), len(x))
