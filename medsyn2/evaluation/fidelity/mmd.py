"""The maximum mean discrepancy with a kernel of the features' own scale, and its floor by relabelling.

The kernel of KID takes features as they are. The weight-free ones are small numbers, for which its cube is nearly
straight: it then is the squared difference of the means, and a set that is shrunk to 0.4 of its spread has none. Here
each feature is in units of its standard deviation over both sets, and the kernel is

    k(x, y) = exp(-|x - y|^2 / (2 s^2)),   s the median distance between volumes of different patients,

which sees means, spread and every other difference of distributions. A point is a volume, the mean of its slices; a
patient has one in each set, his first by name, or the set with more volumes a patient would look the narrower one. The
estimate is unbiased over pairs of different patients, as the blocked KID is.

*Floor.* Were the generator perfect, it would not matter which set a volume is of. Patients are dealt anew into two sets
of the same sizes, a patient of both with his two volumes exchanged or not: the floor is the distance that one dealing
in twenty exceeds, and p the share of dealings, the true one among them, of which the distance is as large.

Source: Gretton et al., JMLR 13:723, 2012, with the median heuristic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Bool, Float, Int

_NUM_DEALINGS = 999
_FLOOR_LEVEL = 0.95
MIN_PATIENTS = 3

Points = Float[np.ndarray, "v f"]


@dataclass(frozen=True)
class Mmd:
    """The squared distance, and those of other dealings of the patients."""

    value: float  # NaN with fewer than three patients in a set
    dealt: Float[np.ndarray, " d"]  # Of each other dealing

    @classmethod
    def mean(cls, found: Sequence["Mmd"]) -> "Mmd":
        """Return the mean over views of the same volumes, which were dealt alike."""
        return cls(float(np.mean([one.value for one in found])), np.mean([one.dealt for one in found], axis=0))

    @property
    def floor(self) -> float:
        """The distance that one dealing in twenty exceeds."""
        return float(np.quantile(self.dealt, _FLOOR_LEVEL)) if len(self.dealt) else nan

    @property
    def p(self) -> float:
        """The share of dealings, with the true one, of which the distance is as large."""
        return float((1 + np.sum(self.dealt >= self.value)) / (1 + len(self.dealt))) if len(self.dealt) else nan


def mmd(
    real: Float[np.ndarray, "v f"],
    synthetic: Float[np.ndarray, "w f"],
    patients: tuple[Sequence[str], Sequence[str]],
    seed: int,
) -> Mmd:
    """Compare two sets of points, one a volume, of which the patients are given."""
    chosen = [_first_of_each(one) for one in patients]
    if min(len(one) for one in chosen) < MIN_PATIENTS:
        return Mmd(nan, np.empty(0))
    points = np.concatenate([real[chosen[0]], synthetic[chosen[1]]])
    owners = np.concatenate([np.array(one)[places] for one, places in zip(patients, chosen, strict=True)])
    is_real = np.arange(len(points)) < len(chosen[0])
    kernel = _kernel(points, owners[:, None] != owners[None])
    labels = np.stack([is_real, *_dealings(is_real, owners, np.random.default_rng(seed))])
    found = _distances(kernel, owners[:, None] != owners[None], labels)
    return Mmd(float(found[0]), found[1:])


def _first_of_each(patients: Sequence[str]) -> Int[np.ndarray, " p"]:
    return np.unique(np.array(patients), return_index=True)[1]


def _kernel(points: Points, is_pair: Bool[np.ndarray, "v v"]) -> Float[np.ndarray, "v v"]:
    """Return the kernel of each pair of points, 0 within a patient."""
    spread = points.std(axis=0)
    scaled = (points - points.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    norms = np.sum(scaled**2, axis=1)
    squares = np.clip(norms[:, None] + norms[None] - 2 * scaled @ scaled.T, 0, None)
    typical = float(np.median(squares[is_pair]))
    return np.where(is_pair, np.exp(-squares / (2 * typical or 1.0)), 0.0)


def _dealings(
    is_real: Bool[np.ndarray, " v"], owners: np.ndarray, rng: np.random.Generator
) -> list[Bool[np.ndarray, " v"]]:
    """Return other labels of the points: pairs of one patient exchanged or not, all other patients dealt anew."""
    _, place, count = np.unique(owners, return_inverse=True, return_counts=True)
    alone, of_pair = count[place] == 1, np.flatnonzero(count == 2)
    found = []
    for _ in range(_NUM_DEALINGS):
        labels = is_real.copy()
        labels[alone] = rng.permutation(labels[alone])
        exchanged = np.isin(place, of_pair[rng.random(len(of_pair)) < 0.5])
        labels[exchanged] = ~labels[exchanged]
        found.append(labels)
    return found


def _distances(
    kernel: Float[np.ndarray, "v v"], is_pair: Bool[np.ndarray, "v v"], labels: Bool[np.ndarray, "d v"]
) -> Float[np.ndarray, " d"]:
    """Return the unbiased squared distance for each labelling of the points."""
    ones, others = labels.astype(float), (~labels).astype(float)

    def mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        sums, counts = ((first @ matrix * second).sum(axis=1) for matrix in (kernel, is_pair.astype(float)))
        return sums / counts

    return mean(ones, ones) + mean(others, others) - 2 * mean(ones, others)
