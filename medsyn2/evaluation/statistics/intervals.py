"""95 % intervals over patients: of means, of differences of paired values, and of ratios.

The patient is the unit: volumes and slices of one patient say little more than one of them. Each statistic is given
with the *influence* of every patient on it, his share of its error to first order, and its standard error comes from
the spread of the influences. A value that belongs to two patients, such as the agreement of one's volume with the
other's mask, counts among the influences of both, since either could have been another.

Influences are skew for shares, distances and ratios, and then the usual t interval covers too little on one side.
Hall's transformation takes the skewness away before the quantiles of t are used; it needs no random draws. How often
the intervals cover is simulated by benchmarks/coverage.py. With fewer than five patients there is no interval.

Of a statistic that is no mean, such as the area under a curve, the influences come from its values without each patient
in turn (`jackknife`), which keeps the classes of labels that a random resample may lose.

Source: Hall 1992, J R Stat Soc B 54:221 (the transformation); Owen 2007, Ann Appl Stat 1:386 (values of two units);
Efron and Stein 1981, Ann Stat 9:586 (the jackknife).
"""

from collections.abc import Callable, Sequence
from math import inf, nan

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats

MIN_PATIENTS = 5
"""Fewest patients of an interval."""

MIN_NETWORKS = 3
"""Fewest networks of an interval over trainings: of two it covers as little as 88 %."""

LEVEL = 0.95

_MAX_GROUPS = 200
"""Most groups of patients that are left out in turn: more would say no more of the error."""

_STRAIGHT = 1e-6
"""Skewness under which the transformation is the identity to rounding."""

Interval = tuple[float, float]
"""Lower and upper end; NaN where there is none."""

NONE: Interval = (nan, nan)


def mean_interval(
    values: pd.Series, patients: pd.Series, others: pd.Series | None = None, *, within: Interval = (-inf, inf)
) -> Interval:
    """Return the interval of the mean of the known values; NaN with fewer than five patients.

    Args:
        patients: Patient of each value.
        others: Second patient of each value, where it compares two.
        within: As in `interval`.
    """
    known = values.notna().to_numpy()
    if not known.any():
        return NONE
    own, second = patients[known], None if others is None else others[known]
    numbers = values[known].astype(float)
    return interval(float(numbers.mean()), mean_influence(numbers, own, second), within=within)


def ratio_interval(
    above: tuple[pd.Series, pd.Series], below: tuple[pd.Series, pd.Series, pd.Series]
) -> tuple[float, Interval]:
    """Return the ratio of two means with its interval; both share patients, so their errors are taken together.

    Args:
        above: Numerator: values, and the patient of each.
        below: Denominator: values, and both patients of each. Values of patients who have none in `above`, and the
            other way round, are left out.

    Returns:
        The ratio, NaN if no patient has both, and the interval, NaN with fewer than five who have.
    """
    above, below = ([one[part[0].notna()] for one in part] for part in (above, below))  # type: ignore[assignment]
    both = set(above[1]) & set(below[1])
    if not both:
        return nan, NONE
    above, below = ([one[part[1].isin(both)] for one in part] for part in (above, below))  # type: ignore[assignment]
    means = float(above[0].mean()), float(below[0].mean())
    ratio, ends = ratio_of(means, (mean_influence(*above), mean_influence(*below)))
    return ratio, NONE if len(both) < MIN_PATIENTS else ends


def ratio_of(means: tuple[float, float], influences: tuple[pd.Series, pd.Series]) -> tuple[float, Interval]:
    """Return the ratio of two means with its interval, from the influence of each patient on both."""
    if min(means) <= 0:
        return (means[0] / means[1] if means[1] else nan), NONE
    # The logarithm of a ratio is the difference of two logarithms, whose influences are those of the means over them.
    influence = (influences[0] / means[0]).sub(influences[1] / means[1], fill_value=0.0)
    low, high = interval(float(np.log(means[0] / means[1])), influence)
    return means[0] / means[1], (float(np.exp(low)), float(np.exp(high)))


def mean_influence(values: pd.Series, patients: pd.Series, others: pd.Series | None = None) -> pd.Series:
    """Return the influence of each patient on the mean of `values`, by patient.

    Without `others`, it is that of the mean without the patient (`jackknife`).
    """
    share = pd.Series((values - values.mean()).to_numpy(float) / len(values))
    by_patient = share.groupby(patients.to_numpy())
    found = by_patient.sum()
    if others is None:
        # The mean follows a patient of many values, whose error is then more than his distance from it.
        left, num = 1 - by_patient.size() / len(share), len(found)
        return found if num == 1 else found * (num - 1) / num / left
    apart = others.to_numpy() != patients.to_numpy()
    return found.add(share[apart].groupby(others.to_numpy()[apart]).sum(), fill_value=0.0)


def jackknife(
    statistic: Callable[[Bool[np.ndarray, " n"]], Float[np.ndarray, " s"]], patients: Sequence[str]
) -> tuple[Float[np.ndarray, " s"], pd.DataFrame]:
    """Return the values of a smooth statistic, and the influence of each patient on them, a column a value.

    Many patients are left out by groups.

    Args:
        statistic: Values of those of the cases that a mask marks.
        patients: Patient of each case.
    """
    group = np.unique(np.array(patients), return_inverse=True)[1] % _MAX_GROUPS
    count = int(group.max()) + 1
    values = statistic(np.ones(len(group), bool))
    without = np.array([statistic(group != one) for one in range(count)])
    return values, pd.DataFrame((count - 1) / count * (values - without))


def interval(
    estimate: float, influence: pd.Series, *, level: float = LEVEL, within: Interval = (-inf, inf)
) -> Interval:
    """Return the interval of a statistic from the influence of each patient; NaN with fewer than five patients.

    Args:
        level: Its coverage; more than the tables' 95 % where several comparisons share one chance of an error.
        within: Least and largest possible value. What lies beyond is cut off: the true value is never there, so that
            the rest covers it as often.
    """
    count = len(influence)
    if count < MIN_PATIENTS or not influence.notna().all():
        return NONE
    errors = count * influence.to_numpy(float)
    errors = errors - errors.mean()
    spread = float(errors.std(ddof=1))
    if spread == 0 or spread < np.finfo(float).eps * abs(estimate):
        return estimate, estimate
    skewness = float((errors**3).mean() / errors.var() ** 1.5)
    quantile = float(stats.t.ppf((1 + level) / 2, count - 1))
    low, high = (estimate - spread * _untransform(sign * quantile, skewness, count) for sign in (1, -1))
    return _cut(low, high, within)


def _cut(low: float, high: float, within: Interval) -> Interval:
    return max(low, within[0]), min(high, within[1])


def _untransform(quantile: float, skewness: float, count: int) -> float:
    """Return the studentized error whose transform has this quantile: the inverse of Hall's cubic."""
    straight = quantile / np.sqrt(count) - skewness / (6 * count)
    if abs(skewness) < _STRAIGHT:
        return float(straight)
    return float((np.cbrt(1 + skewness * straight) - 1) * 3 / skewness)


def share_interval(percent: float, num_patients: int) -> Interval:
    """Return the exact (Clopper-Pearson) 95 % interval of a share in %, NaN with fewer than two patients.

    0 of 10 have an interval of some width, which no spread of values can show. A patient counts once, whatever the
    number of volumes.
    """
    if num_patients < 2:
        return NONE
    hits = percent / 100 * num_patients
    misses = num_patients - hits
    low = stats.beta.ppf((1 - LEVEL) / 2, hits, misses + 1) if hits > 0 else 0.0
    high = stats.beta.ppf((1 + LEVEL) / 2, hits + 1, misses) if misses > 0 else 1.0
    return 100 * float(low), 100 * float(high)


def training_interval(
    estimate: float,
    by_patient: pd.Series,
    by_network: Sequence[Float[np.ndarray, " _"]],
    *,
    within: Interval = (-inf, inf),
) -> Interval:
    """Return the interval of a mean over patients and networks, which another training would change too.

    The variances of patients and of networks add up, and so do their degrees of freedom (Welch and Satterthwaite).

    Args:
        by_patient: Influence of each patient on the mean over networks.
        by_network: For each of the one or two means that `estimate` is made of, the value of every network.
        within: As in `interval`. Few networks that differ have a wide one.

    Returns:
        The interval; NaN with fewer than five patients or three networks.
    """
    count = len(by_patient)
    if count < MIN_PATIENTS or min(len(values) for values in by_network) < MIN_NETWORKS:
        return NONE
    parts = [(count / (count - 1) * float((by_patient.to_numpy(float) ** 2).sum()), count - 1)]
    parts += [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in by_network]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return estimate, estimate
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance))
    return _cut(estimate - half, estimate + half, within)
