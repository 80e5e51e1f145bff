"""The patients of two sets: their strata, an interval by their influences, and random halves and groups of them.

*Interval.* A patient's influence on a distance is the sum of the influences (`frechet`) of all slices in both sets. The
variance of the distance is the sum over strata (patients of both sets, of the real set alone, of the other alone) of
n / (n - 1) sum (influence - mean)^2, with Satterthwaite's degrees of freedom. It is the variance that a bootstrap by
patient tends to, for the price of one distance.

*Divisions.* The patients of each stratum are dealt into six groups. Three groups are a half and four are two thirds of
both sets, with every patient in equally many; a patient of both sets is drawn for both.

Source: Efron and Stein, Ann. Stat. 1981, for the variance; Satterthwaite, Biometrics 1946.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

MIN_PATIENTS = 4
_DEALT = (0, 3, 1, 4, 2, 5)
"""The order in which groups get patients, so that the halves of few are alike."""
_LEVEL = 0.95


@dataclass(frozen=True)
class Patients:
    """The patients of two sets, in sorted order, and their strata."""

    in_real: Bool[np.ndarray, " p"]  # Whether each has real volumes
    in_synthetic: Bool[np.ndarray, " p"]  # Whether each has synthetic ones

    @classmethod
    def of(cls, real: Sequence[str], synthetic: Sequence[str]) -> "Patients":
        """Return those of two sets of volumes, of which the patients are given."""
        everyone = np.union1d(np.array(real), np.array(synthetic))
        return cls(np.isin(everyone, np.array(real)), np.isin(everyone, np.array(synthetic)))

    @property
    def are_enough(self) -> bool:
        """Whether both sets have patients enough to say anything of them."""
        return bool(min(self.in_real.sum(), self.in_synthetic.sum()) >= MIN_PATIENTS)

    def inverse_size(self, chosen: Bool[np.ndarray, " p"]) -> float:
        """Return the sum of the inverse numbers of chosen patients of both sets, which the bias grows with."""
        return float(sum(1 / np.count_nonzero(chosen & one) for one in (self.in_real, self.in_synthetic)))

    def strata(self) -> Iterator[Int[np.ndarray, " m"]]:
        """Yield the patients of the real set alone, of both and of the synthetic set alone, if there are any."""
        ours, theirs = self.in_real, self.in_synthetic
        for stratum in (ours & ~theirs, ours & theirs, ~ours & theirs):
            if stratum.any():
                yield np.flatnonzero(stratum)


@dataclass(frozen=True)
class Split:
    """As many patients on three sides, marked among all."""

    one: Bool[np.ndarray, " p"]  # Real patients
    other: Bool[np.ndarray, " p"]  # Other real patients
    synthetic: Bool[np.ndarray, " p"]  # Synthetic patients to set against the first, preferably the others


@dataclass(frozen=True)
class Draws:
    """Random splits and divisions of the patients of two sets."""

    splits: list[Split]  # For the floor
    divisions: list[Int[np.ndarray, " p"]]  # For the extrapolation: the group of each patient


def interval(value: float, influence: Float[np.ndarray, " p"], patients: Patients) -> tuple[float, float]:
    """Return the 95 % interval of a distance, of which the influence of each patient is known."""
    if not patients.are_enough:
        return nan, nan
    variances, spare = [], []
    for stratum in patients.strata():
        if len(stratum) > 1:
            variances.append(len(stratum) * float(np.var(influence[stratum], ddof=1)))
            spare.append(len(stratum) - 1)
    variance = sum(variances)
    if variance == 0:
        return value, value
    freedom = variance**2 / sum(part**2 / num for part, num in zip(variances, spare, strict=True))
    half = float(stats.t.ppf((1 + _LEVEL) / 2, freedom)) * variance**0.5
    return max(value - half, 0.0), value + half


def draw_patients(patients: Patients, num_draws: int, rng: np.random.Generator) -> Draws:
    """Draw splits and divisions of the patients of two sets."""
    if not patients.are_enough:
        return Draws([], [])
    draws = range(num_draws)
    return Draws([_split(patients, rng) for _ in draws], [_divide(patients, rng) for _ in draws])


def _divide(patients: Patients, rng: np.random.Generator) -> Int[np.ndarray, " p"]:
    """Deal the patients into groups, one stratum after the other, so that those of a set are even too."""
    order = np.concatenate([rng.permutation(stratum) for stratum in patients.strata()])
    group = np.empty(len(order), np.int64)
    group[order] = np.resize(_DEALT, len(order))
    return group


def _split(patients: Patients, rng: np.random.Generator) -> Split:
    """Draw k real patients, k others, and k synthetic ones, preferably the others."""
    ours, theirs = (rng.permutation(np.flatnonzero(one)) for one in (patients.in_real, patients.in_synthetic))
    size = min(len(ours) // 2, len(theirs))
    one, other = ours[:size], ours[size : 2 * size]
    preferred = 2 * np.isin(theirs, other).astype(int) - np.isin(theirs, one)
    chosen = theirs[np.argsort(-preferred, kind="stable")][:size]
    everyone = np.arange(len(patients.in_real))
    return Split(*(np.isin(everyone, part) for part in (one, other, chosen)))
