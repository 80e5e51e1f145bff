"""Intervals over patients: what would have come out with other patients of the same kind.

Patients are drawn with replacement, each with all that is his; a 95 % interval lies between the percentiles 2.5 and
97.5 of the mean. Of paired values the differences are resampled, so that what two methods share does not widen it.
"""

from math import nan

import numpy as np
from jaxtyping import Float, Int


def mean_interval(
    values: Float[np.ndarray, " n"], patients: Int[np.ndarray, " n"], num_draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the mean; NaN with fewer than two draws.

    Args:
        values: At least one.
        patients: Number of the patient of each value, from 0 without gaps.
        num_draws: Resamples.
        rng: Source of the draws.
    """
    if num_draws < 2:
        return nan, nan
    num = int(patients.max()) + 1
    sums, counts = np.bincount(patients, values), np.bincount(patients)
    chosen = rng.integers(0, num, (num_draws, num))
    low, high = np.percentile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)
