"""Tables of cases that are headed by the means of their columns."""

from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType

import pandas as pd

from medsyn2.evaluation.statistics.intervals import MIN_PATIENTS, Interval, mean_interval

COUNTS = ["num", "num_patients"]
ANYWHERE: Mapping[str, Interval] = MappingProxyType({})
"""The range of values that have no ends."""


def prepend_means(
    cases: pd.DataFrame, values: Sequence[str], by: Sequence[str] = (), *, within: Mapping[str, Interval] = ANYWHERE
) -> pd.DataFrame:
    """Return the rows of means, then those of the cases.

    Each group of cases is headed by rows whose ``case`` is ``mean``, ``low``, ``high`` and ``known``: the mean of each
    value, the ends of its 95 % interval over patients, and the number of cases that it is the mean of. Fewer than five
    patients have no interval, and no rows for one.

    Args:
        cases: A row a case: the columns ``case``, ``patient``, `by` and `values`.
        values: Columns to average; NaN is left out. Other columns are empty in the rows of means.
        by: Columns that define the groups.
        within: Least and largest possible value of the columns that have one; intervals end there.

    Returns:
        The columns of `cases` and, in the rows of means, ``num`` cases and ``num_patients``.
    """
    groups = cases.groupby(list(by), sort=False) if by else [((), cases)]
    rows = [row for key, group in groups for row in _means(group, values, dict(zip(by, key, strict=True)), within)]
    return pd.DataFrame([*rows, *cases.to_dict("records")], columns=[*cases.columns, *COUNTS])


def _means(
    group: pd.DataFrame, values: Sequence[str], common: dict[str, object], within: Mapping[str, Interval]
) -> list[dict[str, object]]:
    numbers = group[list(values)].astype(float)
    counts = {"num": len(group), "num_patients": group["patient"].nunique()}
    rows: list[dict[str, object]] = [{"case": "mean", **common, **numbers.mean(), **counts}]
    if counts["num_patients"] >= MIN_PATIENTS:
        patients = group["patient"]
        ends = {name: mean_interval(numbers[name], patients, within=within.get(name, (-inf, inf))) for name in values}
        for index, end in enumerate(("low", "high")):
            rows.append({"case": end, **common, **{name: both[index] for name, both in ends.items()}})
    rows.append({"case": "known", **common, **numbers.notna().sum()})
    return rows
