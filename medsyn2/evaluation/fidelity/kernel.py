"""Measures that assume no Gaussian: blocked KID, precision, recall, density and coverage.

*Blocked KID.* The kernel distance is the unbiased estimate of the squared maximum mean discrepancy with the
kernel (x.y / f + 1)^3:

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y)

over pairs of different samples. Slices of one volume, scans of one patient, and a volume generated from a patient's
report and that patient's own are dependent, and such pairs bias the estimate. Here no pair is of one patient, within a
set or between sets. Every pair of volumes has equal weight. The standard error is the jackknife's over patients.

*Neighbours.* Each volume is one point, the mean of its slices. A point's ball reaches its k-th nearest other patient
within its own set, and holds no point of its own patient: volumes of one patient are alike, and would make balls small
and hits cheap. k is at most a quarter of the patients, since with 5 of 8 two CTs copied four times each passed.
Precision is the share of synthetic points in a real ball, recall the share of real points in a synthetic ball, density
the mean number of real balls around a synthetic point, over k, and coverage the share of real balls with a synthetic
point in them.

Source: Binkowski et al., arXiv:1801.01401; Kynkaanniemi et al., arXiv:1904.06991; Naeem et al.,
arXiv:2002.09797. The blocking is our own: without it slices of 50 volumes from one distribution gave a KID of
1.25e-3 +- 0.25e-3 where the truth is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.spatial.distance import cdist

from medsyn2.evaluation.fidelity.sizes import KERNEL_CHUNK_ROWS as _CHUNK_ROWS
from medsyn2.evaluation.fidelity.sizes import KERNEL_MAX_ROWS as _MAX_ROWS
from medsyn2.evaluation.fidelity.sizes import KERNEL_MAX_SLICES as _MAX_SLICES


@dataclass(frozen=True)
class KernelDistance:
    """The blocked KID, and its standard error (NaN with fewer than three patients)."""

    kid: float
    standard_error: float


@dataclass(frozen=True)
class Neighbourhood:
    """Shares by nearest neighbours; see the module docstring."""

    precision: float  # Share of synthetic points that look real
    recall: float  # Share of real points that the generator reaches
    density: float  # As precision, but counts balls; above 1 where the real points are dense
    coverage: float  # Share of real points with a synthetic one in their ball
    neighbours: int  # The k that was used; 0, and the others NaN, with fewer than four patients in a set


@dataclass(frozen=True)
class Slices:
    """The rows of one part of a bank."""

    features: Float[np.ndarray, "n f"]  # A row a slice
    volume: Int[np.ndarray, " n"]  # The volume of each row, from 0
    patient: tuple[str, ...]  # The patient of each volume, any hashable label

    @cached_property
    def own_kernel(self) -> Float[np.ndarray, "v v"]:
        """The mean kernel of the slices of each pair of volumes, less 1."""
        return _volume_kernel(self.thinned(), self.thinned())

    def thinned(self) -> "Slices":
        """Return at most 16 slices of each volume, evenly spaced, and at most 8,192 in all or one of each volume."""
        most = min(_MAX_SLICES, max(1, _MAX_ROWS // len(self.patient)))
        kept: list[int] = []
        for volume in range(len(self.patient)):
            rows = np.flatnonzero(self.volume == volume)
            if len(rows) > most:
                rows = rows[((np.arange(most) + 0.5) * len(rows) / most).astype(int)]
            kept.extend(rows.tolist())
        return Slices(self.features[kept], self.volume[kept], self.patient)


def kid_between_patients(real: Slices, synthetic: Slices) -> KernelDistance:
    """Return the kernel distance over pairs of different patients.

    Of many slices evenly spaced ones are taken (`Slices.thinned`), which changes the estimate's spread but not its
    expectation.
    """
    within = [_VolumePairs(one.own_kernel, one.patient, one.patient) for one in (real, synthetic)]
    across = _VolumePairs(_volume_kernel(real.thinned(), synthetic.thinned()), real.patient, synthetic.patient)
    value = within[0].mean() + within[1].mean() - 2 * across.mean()
    patients = sorted({*real.patient, *synthetic.patient})
    left_out = np.array(
        [within[0].mean(p) + within[1].mean(p) - 2 * across.mean(p) for p in patients if len(patients) > 2]
    )
    left_out = left_out[np.isfinite(left_out)]
    if len(left_out) < 3:
        return KernelDistance(value, nan)
    num = len(left_out)
    return KernelDistance(value, float(np.sqrt((num - 1) / num * np.sum((left_out - left_out.mean()) ** 2))))


def neighbourhood(
    real: Float[np.ndarray, "n f"],
    synthetic: Float[np.ndarray, "m f"],
    patients: tuple[Sequence[str], Sequence[str]],
    neighbours: int = 5,
) -> Neighbourhood:
    """Return precision, recall, density and coverage of points, one a volume.

    Args:
        patients: Patient of each real and of each synthetic point.
        neighbours: The k; at most a quarter of the patients of the smaller set.
    """
    owners = tuple(np.array(one) for one in patients)
    k = min(neighbours, *(len(np.unique(one)) // 4 for one in owners))
    if k < 1:
        return Neighbourhood(nan, nan, nan, nan, 0)
    between = cdist(real, synthetic)
    between[owners[0][:, None] == owners[1][None]] = np.inf
    real_radius, synthetic_radius = (
        _radius(points, own, k) for points, own in zip((real, synthetic), owners, strict=True)
    )
    inside = between < real_radius[:, None]
    return Neighbourhood(
        precision=float(inside.any(axis=0).mean()),
        recall=float((between < synthetic_radius[None]).any(axis=1).mean()),
        density=float(inside.sum(axis=0).mean() / k),
        coverage=float((between.min(axis=1) < real_radius).mean()),
        neighbours=k,
    )


def _radius(points: Float[np.ndarray, "n f"], owners: Shaped[np.ndarray, " n"], k: int) -> Float[np.ndarray, " n"]:
    """Return the distance from each point to its k-th nearest other patient."""
    names, own = np.unique(owners, return_inverse=True)
    nearest = np.full((len(names), len(points)), np.inf)
    np.minimum.at(nearest, own, cdist(points, points))
    nearest[own, np.arange(len(points))] = np.inf
    return np.partition(nearest, k - 1, axis=0)[k - 1]


def _volume_kernel(first: Slices, second: Slices) -> Float[np.ndarray, "v w"]:
    """Return the mean kernel of the slices of each pair of volumes, less 1.

    What varies of (g + 1)^3 is g (g (g + 3) + 3): without the constant, which cancels in the distance, single precision
    holds it.
    """
    order = np.argsort(second.volume, kind="stable")
    others = second.features[order].T
    starts = np.searchsorted(second.volume[order], np.arange(len(second.patient)))
    sums = np.zeros((len(first.patient), len(second.patient)))
    for start in range(0, len(first.features), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        product = (first.features[rows] / others.shape[0]) @ others
        kernel = product + 3
        kernel *= product
        kernel += 3
        kernel *= product
        np.add.at(sums, first.volume[rows], np.add.reduceat(kernel, starts, axis=1))
    counts = [np.bincount(one.volume, minlength=len(one.patient)) for one in (first, second)]
    return sums / np.outer(*counts)


class _VolumePairs:
    """Mean over the pairs of volumes of different patients, optionally without one patient."""

    def __init__(self, kernel: Float[np.ndarray, "v w"], first: tuple[str, ...], second: tuple[str, ...]) -> None:
        self._first, self._second = np.array(first), np.array(second)
        self._allowed = self._first[:, None] != self._second[None]
        self._kernel = np.where(self._allowed, kernel, 0.0)
        self._sum, self._num = self._kernel.sum(), int(self._allowed.sum())

    def mean(self, without: str | None = None) -> float:
        total, num = self._sum, self._num
        if without is not None:
            # No allowed pair has the patient on both sides, so nothing is taken off twice.
            for mask in (self._first == without, None), (None, self._second == without):
                rows, columns = (slice(None) if one is None else one for one in mask)
                total = total - self._kernel[rows][:, columns].sum()
                num = num - int(self._allowed[rows][:, columns].sum())
        return float(total / num) if num else nan
