"""Intervals over patients by the cluster bootstrap.

Patients are drawn with replacement, each with all of their values; a 95 % interval lies between the percentiles 2.5
and 97.5 of the mean. Paired values are resampled as differences, and both means of a ratio come from the same draw,
so that variation common to the two does not widen the interval.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

COUNTS = ["num", "num_patients"]


def prepend_means(cases: pd.DataFrame, values: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows of means, then those of the cases.

    Each group of cases is headed by rows whose ``case`` is ``mean``, ``low`` and ``high``: the mean of each value and
    the ends of its 95 % interval over patients. A single patient has no interval, and no rows for one.

    Args:
        cases: A row a case: the columns ``case``, ``patient``, `by` and `values`.
        values: Columns to average; NaN is left out. Other columns are empty in the rows of means.
        by: Columns that define the groups.

    Returns:
        The columns of `cases` and, in the rows of means, ``num`` cases and ``num_patients``.
    """
    groups = cases.groupby(list(by), sort=False) if by else [((), cases)]
    rows = [row for key, group in groups for row in _means(group, values, dict(zip(by, key, strict=True)))]
    return pd.DataFrame([*rows, *cases.to_dict("records")], columns=[*cases.columns, *COUNTS])


def _means(group: pd.DataFrame, values: Sequence[str], common: dict[str, object]) -> list[dict[str, object]]:
    numbers = group[list(values)].astype(float)
    counts = {"num": len(group), "num_patients": group["patient"].nunique()}
    rows: list[dict[str, object]] = [{"case": "mean", **common, **numbers.mean(), **counts}]
    if counts["num_patients"] > 1:
        ends = {name: interval_over_patients(numbers[name], group["patient"]) for name in values}
        for index, end in enumerate(("low", "high")):
            rows.append({"case": end, **common, **{name: both[index] for name, both in ends.items()}})
    return rows


NUM_DRAWS = 1000
"""Resamples for tables that have no setting for it."""


def mean_interval(
    values: Float[np.ndarray, " n"], patients: Int[np.ndarray, " n"], num_draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the mean; NaN with fewer than two draws or patients.

    Args:
        patients: Number of the patient of each value, from 0 without gaps.
    """
    num = int(patients.max()) + 1
    if num_draws < 2 or num < 2:
        return nan, nan
    sums, counts = np.bincount(patients, values), np.bincount(patients)
    chosen = rng.integers(0, num, (num_draws, num))
    low, high = np.percentile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def interval_over_patients(values: pd.Series, patients: pd.Series) -> tuple[float, float]:
    """Return the 95 % interval of the mean of the known values; NaN with fewer than two patients."""
    known = values.notna().to_numpy()
    if not known.any():
        return nan, nan
    index = np.unique(patients[known].astype(str), return_inverse=True)[1]
    return mean_interval(values[known].to_numpy(float), index, NUM_DRAWS, np.random.default_rng(0))


def ratio_over_patients(above: pd.Series, below: pd.Series) -> tuple[float, float, float]:
    """Return the ratio of two means and the ends of its 95 % interval.

    Args:
        above: Numerator: values by patient; a patient may have several.
        below: Denominator. Patients without a value in both are left out.

    Returns:
        The ratio, NaN if no patient has both, and the interval, NaN with a single patient.
    """
    sums = pd.concat(
        [one.dropna().groupby(level=0).agg(["sum", "count"]) for one in (above, below)], axis=1, join="inner"
    ).to_numpy(dtype=float)
    if not len(sums):
        return nan, nan, nan
    chosen = np.random.default_rng(0).integers(0, len(sums), (NUM_DRAWS, len(sums)))
    drawn = np.concatenate([sums.sum(axis=0)[None], sums[chosen].sum(axis=1)])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (drawn[:, 0] / drawn[:, 1]) / (drawn[:, 2] / drawn[:, 3])
    low, high = np.percentile(ratios[1:], [2.5, 97.5]) if len(sums) > 1 else (nan, nan)
    return float(ratios[0]), float(low), float(high)
