"""Training sets compared by the networks they train: the paper's Table 5 and Figure 11.

Networks are trained on real slices, on synthetic ones and on both, and judged on real slices of other patients, at a
threshold of 0.5 and by the mean Dice over 256 thresholds: Inf-Net's number in the paper's table is of the second kind
and compares with no other there.

The table has a row a training set. Values are means over test slices, then over seeds, with the standard deviation over
seeds; ``<value>_low`` and ``_high`` are a 95 % interval over test patients of the mean over seeds. The differences
``<value>_minus_real`` are paired by slice, each the mean over its seeds, and resampled by patient: an interval around 0
shows no difference. The spread of seeds is of the training, the interval of the patients; neither contains the other.

Empty masks are treated as in `overlap`: a slice without a finding counts with an overlap of 0 and has no distances;
slices without the structure are left out of the means; both are counted. A difference of distances is over the slices
that have one with both training sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medsyn2.evaluation.augmentation.slices import LabelledSlice
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, overlap
from medsyn2.evaluation.statistics.bootstrap import mean_interval
from medsyn2.evaluation.statistics.paired import compare

ARMS = ("real", "synthetic", "both")
"""The training sets; ``both`` is all slices of the other two."""
MEASURES = ("dice", "dice_thresholds", "jaccard", "assd_mm", "hd95_max_mm", "hd95_pooled_mm")
CASES_COLUMNS = ["arm", "seed", "case", "patient", "segmenter", "dice_thresholds", *VALUES, *FLAGS]
THRESHOLD = 0.5
_LEVELS = 256


def table_columns() -> list[str]:
    """Return the columns of the table in their order: counts, means, intervals, differences."""
    counts = ["num_real", "num_synthetic", "num_steps", "num_seeds", "num_test", "num_patients", "num_present"]
    counts += [*(f"num_{flag}" for flag in FLAGS)]
    means = [name for one in MEASURES for name in (one, f"{one}_sd")]
    intervals = [f"{one}_{end}" for one in MEASURES for end in ("low", "high")]
    apart = [f"{one}_minus_real{end}" for one in MEASURES for end in ("", "_low", "_high")]
    return ["arm", "structure", "segmenter", *means, *apart, *intervals, *counts]


def mean_dice(probability: Float[np.ndarray, "h w"], reference: Bool[np.ndarray, "h w"]) -> float:
    """Return the mean Dice of a probability map over the thresholds 0, 1/255, ..., 1; NaN of an empty reference."""
    if not reference.any():
        return nan
    level = np.floor(probability.astype(np.float64) * (_LEVELS - 1)).astype(np.int64)
    # Numbers of pixels at or above each threshold, from the highest down.
    found, common = (
        np.bincount(values, minlength=_LEVELS)[::-1].cumsum() for values in (level.ravel(), level[reference])
    )
    return float(np.mean(2 * common / (found + np.count_nonzero(reference))))


def judge_slices(
    probabilities: Float[np.ndarray, "n h w"],
    slices: Sequence[LabelledSlice],
    *,
    arm: str,
    seed: int,
    tolerance_mm: float,
) -> list[dict[str, object]]:
    """Return a row a test slice of one trained network."""
    rows = []
    for probability, one in zip(probabilities, slices, strict=True):
        agreement = overlap(probability >= THRESHOLD, one.mask, one.spacing_mm, tolerance_mm)
        names = {"arm": arm, "seed": seed, "case": one.name, "patient": one.patient}
        rows.append({**names, "dice_thresholds": mean_dice(probability, one.mask), **asdict(agreement)})
    return rows


def compare_arms(
    cases: pd.DataFrame, sizes: Mapping[str, Mapping[str, Any]], *, num_draws: int, seed: int
) -> pd.DataFrame:
    """Return the table: a row a training set.

    Args:
        cases: The rows of `judge_slices` of every training set and seed.
        sizes: By training set: ``structure``, ``segmenter``, ``num_real``, ``num_synthetic``, ``num_steps``.
    """
    present = cases[~cases["both_empty"].astype(bool) & ~cases["false_alarm"].astype(bool)]
    by_case = present.groupby(["arm", "patient", "case"], sort=False)[[*MEASURES]].mean()
    intervals = _intervals(by_case, num_draws, seed)
    apart = _differences(by_case, num_draws, seed)
    rows = []
    for arm, all_rows in cases.groupby("arm", sort=False):
        mine = present[present["arm"] == arm]
        row: dict[str, object] = {"arm": arm, **sizes[str(arm)]}
        row |= {"num_seeds": all_rows["seed"].nunique(), "num_test": all_rows["case"].nunique()}
        row |= {"num_patients": all_rows["patient"].nunique(), "num_present": mine["case"].nunique()}
        row |= {f"num_{flag}": int(all_rows[flag].sum()) for flag in FLAGS}
        by_seed = mine.groupby("seed")[[*MEASURES]].mean()
        for name in MEASURES:
            row |= {name: by_seed[name].mean(), f"{name}_sd": by_seed[name].std(ddof=1)}
        rows.append({**row, **intervals.get(str(arm), {}), **apart.get(str(arm), {})})
    return pd.DataFrame(rows, columns=table_columns())


def _intervals(by_case: pd.DataFrame, num_draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the interval of each mean, by training set."""
    found: dict[str, dict[str, float]] = {}
    for arm, rows in by_case.groupby("arm", sort=False):
        for name in MEASURES:
            values = rows[name].dropna()
            ends = _interval(values, num_draws, seed) if len(values) else (nan, nan)
            found.setdefault(str(arm), {}).update(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
    return found


def _interval(values: pd.Series, num_draws: int, seed: int) -> tuple[float, float]:
    patients = np.unique(values.index.get_level_values("patient").astype(str), return_inverse=True)[1]
    return mean_interval(values.to_numpy(float), patients, num_draws, np.random.default_rng(seed))


def _differences(by_case: pd.DataFrame, num_draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Return each difference from the real slices with its interval, by training set."""
    names = {"arm": "variant", "patient": "subject", "case": "item"}
    pairs = by_case.melt(var_name="measure", ignore_index=False).reset_index().rename(columns=names)
    found: dict[str, dict[str, float]] = {}
    for row in compare(pairs.assign(part=""), ARMS[0], num_draws=num_draws, seed=seed).to_dict("records"):
        if row["variant"] != ARMS[0]:
            values = {"": row["difference"], "_low": row["low"], "_high": row["high"]}
            found.setdefault(str(row["variant"]), {}).update(
                {f"{row['measure']}_minus_real{end}": float(value) for end, value in values.items()}
            )
    return found
