"""Overlap of a found mask with a reference: Dice, Jaccard and the distances of their surfaces.

Libraries differ silently in their treatment of empty masks, up to a better score for more misses. Nothing is imputed
here:

    both empty            every value is undefined (NaN); the pair is counted and left out
    only found empty      a miss: the overlaps are 0, the distances undefined
    only reference empty  a false alarm: the same

In the rows of `summarise`, overlaps are averaged where the reference is present, a miss as 0, and distances where both
masks are present; counts beside the means say how many pairs they rest on and leave out. Surface Dice is an overlap, so
that a miss has 0.

Per-case means of Dice D and Jaccard J satisfy J >= D / (2 - D), with equality only if all cases are alike; a table in
which they are equal took J from the mean of D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medsyn2.evaluation.similarity.surface import surface_distances
from medsyn2.evaluation.statistics.intervals import mean_interval

OVERLAPS = ("dice", "jaccard", "surface_dice")
DISTANCES = ("hd95_max_mm", "hd95_pooled_mm", "assd_mm")
VALUES = (*OVERLAPS, *DISTANCES)
FLAGS = ("both_empty", "missed", "false_alarm")


@dataclass(frozen=True)
class Overlap:
    """Agreement of two masks; NaN where undefined (see the module), distances as in `surface`."""

    dice: float = nan  # 2 |A and B| / (|A| + |B|)
    jaccard: float = nan  # |A and B| / |A or B|
    surface_dice: float = nan  # Share of the surfaces within the tolerance of each other
    hd95_max_mm: float = nan  # Larger of the two directed 95th percentiles
    hd95_pooled_mm: float = nan  # 95th percentile of the distances both ways
    assd_mm: float = nan  # Mean of the distances both ways
    both_empty: bool = False  # Whether there is nothing in either
    missed: bool = False  # Whether only the found mask is empty
    false_alarm: bool = False  # Whether only the reference is empty


def dice(found: Bool[np.ndarray, "*shape"], reference: Bool[np.ndarray, "*shape"]) -> float:
    """Return the Dice coefficient alone; NaN if both masks are empty."""
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(found & reference)) / total if total else nan


def overlap(
    found: Bool[np.ndarray, "*shape"],
    reference: Bool[np.ndarray, "*shape"],
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> Overlap:
    """Compare two masks on one grid, of volumes or of slices."""
    sizes = int(np.count_nonzero(found)), int(np.count_nonzero(reference))
    if not any(sizes):
        return Overlap(both_empty=True)
    if not all(sizes):
        return Overlap(0.0, 0.0, 0.0, missed=sizes[0] == 0, false_alarm=sizes[1] == 0)
    common = int(np.count_nonzero(found & reference))
    distances = surface_distances(found, reference, spacing_mm)
    return Overlap(
        dice(found, reference),
        common / (sum(sizes) - common),
        distances.surface_dice(tolerance_mm),
        distances.hd95_max_mm,
        distances.hd95_pooled_mm,
        distances.assd_mm,
    )


def present(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the compared pairs whose reference is not empty; overlaps are averaged over these."""
    return cases[~cases["both_empty"].astype(bool) & ~cases["false_alarm"].astype(bool)]


def summarise(cases: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return a row for each group of compared pairs, with the counts that its means leave out.

    Args:
        cases: A row a pair: the columns `by`, ``patient`` and the fields of `Overlap`; ``other_patient`` too if the
            masks of a pair can be of two patients.
        by: Columns that define the groups.

    Returns:
        Columns: `by`; ``num`` pairs; ``num_present`` pairs with a reference and their ``num_patients``; mean overlaps
        of these and their median Dice; ``num_distances`` pairs with both masks and their mean distances;
        ``num_missed``, ``miss_rate`` of the present ones; ``num_false_alarm`` and ``num_both_empty``. Each mean has a
        95 % interval over patients, ``<value>_low`` and ``<value>_high``.
    """
    overlaps, distances = (
        [f"{value}{end}" for value in values for end in ("", "_low", "_high")] for values in (OVERLAPS, DISTANCES)
    )
    columns = [*by, "num", "num_present", "num_patients", *overlaps, "dice_median", "num_distances", *distances]
    columns += ["num_missed", "miss_rate", "num_false_alarm", "num_both_empty"]
    rows = [dict(zip(by, key, strict=True)) | _means(group) for key, group in cases.groupby(list(by), sort=False)]
    return pd.DataFrame(rows, columns=columns)


def _means(group: pd.DataFrame) -> dict[str, object]:
    there = present(group)
    missed = int(there["missed"].sum())
    row: dict[str, object] = {
        "num": len(group),
        "num_present": len(there),
        "num_patients": there["patient"].nunique(),
        "dice_median": there["dice"].astype(float).median(),
        "num_distances": len(there) - missed,
        "num_missed": missed,
        "miss_rate": missed / len(there) if len(there) else nan,
        "num_false_alarm": int(group["false_alarm"].sum()),
        "num_both_empty": int(group["both_empty"].sum()),
    }
    for name in VALUES:
        values = there[name].astype(float)
        row[name] = values.mean()
        row[f"{name}_low"], row[f"{name}_high"] = mean_interval(
            values, there["patient"], there.get("other_patient"), within=(0.0, 1.0 if name in OVERLAPS else inf)
        )
    return row
