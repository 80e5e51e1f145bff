"""Training sets compared by the networks they train: the paper's Table 5 and Figure 11.

Networks are trained on real slices, on synthetic ones and on both, and judged on real slices of other patients, at a
threshold of 0.5 and by the mean Dice over 256 thresholds: Inf-Net's number in the paper's table is of the second kind
and compares with no other there.

The table has a row a training set. Values are means over test slices, then over seeds, with the standard deviation over
seeds; ``<value>_low`` and ``_high`` are a 95 % interval over test patients and networks together, since other patients
and another training would both give another value. The differences ``<value>_minus_real`` are paired by slice, each the
mean over its seeds, and their interval holds the variances of both trainings too: one around 0 shows no difference.
Fewer than three networks a set, or five patients, have no interval.

Empty masks are treated as in `overlap`: a slice without a finding counts with an overlap of 0 and has no distances;
slices without the structure are left out of the means; both are counted. A difference of distances is over the slices
that have one with both training sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, nan
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medsyn2.evaluation.augmentation.slices import LabelledSlice
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, overlap
from medsyn2.evaluation.statistics.intervals import Interval, mean_influence, training_interval

ARMS = ("real", "synthetic", "both")
"""The training sets; ``both`` is all slices of the other two."""
MEASURES = ("dice", "dice_thresholds", "jaccard", "assd_mm", "hd95_max_mm", "hd95_pooled_mm")
CASES_COLUMNS = ["arm", "seed", "case", "patient", "segmenter", "dice_thresholds", *VALUES, *FLAGS]
_MOST = {name: inf if name.endswith("_mm") else 1.0 for name in MEASURES}
"""The greatest possible value of a measure; the least is 0."""
THRESHOLD = 0.5
_LEVELS = 256
ENDS = ("", "_low", "_high")


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


def compare_arms(cases: pd.DataFrame, sizes: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the table: a row a training set.

    Args:
        cases: The rows of `judge_slices` of every training set and seed.
        sizes: By training set: ``structure``, ``segmenter``, ``num_real``, ``num_synthetic``, ``num_steps``.
    """
    present = cases[~cases["both_empty"].astype(bool) & ~cases["false_alarm"].astype(bool)]
    intervals = _intervals(present.set_index(["arm", "patient", "case", "seed"])[[*MEASURES]])
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
        rows.append({**row, **intervals.get(str(arm), {})})
    return pd.DataFrame(rows, columns=table_columns())


def _intervals(by_slice: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the interval of each mean, and each difference from the real slices with its own, by training set."""
    found: dict[str, dict[str, float]] = {str(arm): {} for arm in by_slice.index.unique("arm")}
    for name in MEASURES:
        values = {str(arm): _Networks.of(rows[name]) for arm, rows in by_slice.groupby("arm", sort=False)}
        real = values.get(ARMS[0])
        for arm, own in values.items():
            ends = training_interval(own.mean, own.influence(), [own.by_seed], within=(0.0, _MOST[name]))
            found[arm] |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
            if arm != ARMS[0] and real is not None:
                numbers = own.minus(real, within=(-_MOST[name], _MOST[name]))
                found[arm] |= {f"{name}_minus_real{end}": one for end, one in zip(ENDS, numbers, strict=True)}
    return found


@dataclass(frozen=True)
class _Networks:
    """One measure of all networks of a training set: a row a slice with its patient, a column a seed."""

    values: pd.DataFrame

    @classmethod
    def of(cls, values: pd.Series) -> "_Networks":
        return cls(values.droplevel("arm").unstack("seed"))

    @property
    def by_slice(self) -> pd.Series:
        return self.values.mean(axis=1)

    @property
    def mean(self) -> float:
        return float(self.by_slice.mean())

    @property
    def by_seed(self) -> Float[np.ndarray, " s"]:
        return self.values.mean().dropna().to_numpy(float)

    def influence(self) -> pd.Series:
        known = self.by_slice.dropna()
        return mean_influence(known, known.index.get_level_values("patient").to_series())

    def minus(self, other: "_Networks", within: Interval) -> tuple[float, float, float]:
        """Return the difference of the means over the slices that both have, and its interval."""
        apart = (self.by_slice - other.by_slice).dropna()
        if apart.empty:
            return nan, nan, nan
        both = [one.values.loc[apart.index].mean().dropna().to_numpy(float) for one in (self, other)]
        influence = mean_influence(apart, apart.index.get_level_values("patient").to_series())
        return float(apart.mean()), *training_interval(float(apart.mean()), influence, both, within=within)
