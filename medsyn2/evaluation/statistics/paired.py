"""Models compared on the same cases: the mean of each, and its difference from the main model with an interval.

All models get the same cases, masks, seeds and noise, so that values come in pairs. The interval of the mean
difference is over patients (`intervals`): if it holds 0, this cohort does not tell the two apart. It does not cover
the variance of training, for each model was trained once, with one seed: a difference may be of these two trainings
alone.
"""

from math import nan

import pandas as pd

from medsyn2.evaluation.statistics.intervals import mean_interval

CASE_COLUMNS = ["measure", "part", "variant", "subject", "item", "value"]
COLUMNS = [
    "measure", "part", "variant", "value", "main", "difference", "low", "high", "num_pairs", "num_subjects",
]  # fmt: skip


def compare(cases: pd.DataFrame, main: str) -> pd.DataFrame:
    """Return a row for each measure, part and variant, in the order of `cases`.

    Args:
        cases: The columns `CASE_COLUMNS`; each model has one value an item. NaN values are left out.
        main: Name of the variant that the others are compared with.

    Returns:
        The columns `COLUMNS`: mean value of the variant; over the items of both, the mean of the main model, the mean
            difference (variant - main) and its interval.
    """
    rows = []
    known = cases.dropna(subset=["value"])
    for (measure, part), group in known.groupby(["measure", "part"], sort=False):
        reference = group[group["variant"] == main].set_index(["subject", "item"])["value"]
        for variant, own in group.groupby("variant", sort=False):
            row = {"measure": measure, "part": part, "variant": variant, "value": own["value"].mean()}
            row |= {"main": nan, "difference": nan, "low": nan, "high": nan}
            pairs = own.set_index(["subject", "item"])[["value"]].join(reference.rename("main"), how="inner")
            pairs = pairs.reset_index()
            if variant != main and len(pairs):
                row |= _difference(pairs)
            counted = own if variant == main else pairs
            rows.append({**row, "num_pairs": len(counted), "num_subjects": counted["subject"].nunique()})
    return pd.DataFrame(rows, columns=COLUMNS)


def _difference(pairs: pd.DataFrame) -> dict[str, float]:
    apart = pairs["value"].astype(float) - pairs["main"].astype(float)
    low, high = mean_interval(apart, pairs["subject"])
    return {"main": pairs["main"].mean(), "difference": float(apart.mean()), "low": low, "high": high}
