"""HU inside organs and tissues, of real and synthetic volumes side by side.

An *organ* is measured inside its mask: a real volume inside its own, a synthetic one inside the mask it was requested
with. A synthetic organ that misses its mask therefore has the HU of its surroundings, and is to be read with the table
of mask agreement. A *tissue* is measured over the voxels of the body within a range of HU, so that it needs no mask;
partial volume at the borders of the lungs adds to fat and muscle of real and synthetic volumes alike:

    bone     150 HU and more: denser than muscle; contrast medium and calcifications count too
    muscle   -29 to 150 HU    (Mourtzakis et al. 2008, Appl Physiol Nutr Metab 33:997)
    fat      -190 to -30 HU   (Kvist et al. 1988, Am J Clin Nutr 48:1351; Mourtzakis et al. 2008)

The value of a case is the median of its voxels. A case without a mask, or without a voxel of a tissue, has a missing
value: it is counted and never 0. Intervals are over patients; the difference is paired by case.

A case is an *outlier* if its median lies outside the real cases' median +- k robust standard deviations (1.4826 times
the median absolute deviation), or, if synthetic, outside the 0.5th to 99.5th percentile of the real cases. Outliers are
listed by name and stay in every mean.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import inf, nan

import numpy as np
import pandas as pd
from jaxtyping import Bool, Num

from medsyn2.evaluation.similarity.volumes import inside_body
from medsyn2.evaluation.statistics.intervals import mean_interval
from medsyn2.facts import REAL
from medsyn2.vocabulary import Structure

ORGANS: dict[Structure, str] = {"lobes": "lungs", "heart": "heart", "vessels": "vessels"}
"""Region of a structure's mask; lobes are measured as the lungs they make up."""

TISSUES_HU: dict[str, tuple[float, float]] = {"bone": (150.0, inf), "muscle": (-29.0, 150.0), "fat": (-190.0, -30.0)}
"""Ranges of the tissues, the upper end excluded; their sources stand above."""

REGIONS = (*ORGANS.values(), *TISSUES_HU)

PERCENTILES = (5, 25, 50, 75, 95)
SPREAD_PERCENTILES = (0.5, 99.5)
ROBUST_SD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
MIN_CASES = 3
"""Real cases needed for limits of outliers."""


@dataclass(frozen=True)
class HuSpread:
    """Percentiles of the HU in a region; NaN, with no voxels, if the region is missing."""

    num_voxels: int = 0
    p5_hu: float = nan
    p25_hu: float = nan
    median_hu: float = nan
    p75_hu: float = nan
    p95_hu: float = nan
    iqr_hu: float = nan


VALUES = tuple(name for name in HuSpread.__dataclass_fields__ if name != "num_voxels")
CASE_COLUMNS = ["case", "patient", "source", "region", "num_voxels", *VALUES]
OUTLIER_COLUMNS = ["beyond_robust_sd", "beyond_percentiles"]
ENDS = ("", "_low", "_high")
TABLE_COLUMNS = [
    "region", "source",
    *(f"{side}_median_hu{end}" for side in ("real", "synthetic") for end in ENDS),
    *(f"difference_hu{end}" for end in ENDS),
    *(f"{side}_{name}" for side in ("real", "synthetic") for name in VALUES if name != "median_hu"),
    "num_pairs", "num_patients", "num_real", "num_real_missing", "num_synthetic", "num_synthetic_missing",
    "limit_low_hu", "limit_high_hu", "num_outliers", "outliers",
]  # fmt: skip


def hu_spread(hu: Num[np.ndarray, "d h w"], region: Bool[np.ndarray, "d h w"] | None) -> HuSpread:
    """Return the percentiles of a volume's HU in a region; None or an empty region is missing."""
    values = hu[region] if region is not None else np.empty(0)
    if not values.size:
        return HuSpread()
    p5, p25, median, p75, p95 = (float(value) for value in np.percentile(values, PERCENTILES))
    return HuSpread(values.size, p5, p25, median, p75, p95, p75 - p25)


def tissue_spreads(hu: Num[np.ndarray, "d h w"]) -> dict[str, HuSpread]:
    """Return the percentiles of each tissue of `TISSUES_HU` inside the body."""
    body = inside_body(hu)
    return {name: hu_spread(hu, body & (hu >= low) & (hu < high)) for name, (low, high) in TISSUES_HU.items()}


def case_rows(case: str, patient: str, source: str, spreads: Mapping[str, HuSpread]) -> Iterator[dict[str, object]]:
    """Yield a row of the case table for each region of one volume."""
    for region, spread in spreads.items():
        yield {"case": case, "patient": patient, "source": source, "region": region, **asdict(spread)}


def mark_outliers(cases: pd.DataFrame, robust_sds: float) -> pd.DataFrame:
    """Add the columns `OUTLIER_COLUMNS` to the case table; a missing value is no outlier.

    Args:
        cases: The columns `CASE_COLUMNS`.
        robust_sds: Robust standard deviations from the real cases' median.
    """
    marked = cases.assign(**dict.fromkeys(OUTLIER_COLUMNS, False))
    for _, rows in cases.groupby("region", sort=False):
        medians = rows["median_hu"].astype(float)
        real = medians[rows["source"] == REAL]
        low, high = robust_limits(real, robust_sds)
        least, greatest = _percentile_limits(real)
        marked.loc[rows.index, OUTLIER_COLUMNS[0]] = (medians < low) | (medians > high)
        outside = (medians < least) | (medians > greatest)
        marked.loc[rows.index, OUTLIER_COLUMNS[1]] = outside & (rows["source"] != REAL)
    return marked


def robust_limits(medians_hu: pd.Series, robust_sds: float) -> tuple[float, float]:
    """Return median +- k robust standard deviations; NaN with fewer than three known values."""
    known = medians_hu.dropna().to_numpy(float)
    if len(known) < MIN_CASES:
        return nan, nan
    middle = float(np.median(known))
    width = robust_sds * ROBUST_SD * float(np.median(np.abs(known - middle)))
    return middle - width, middle + width


def _percentile_limits(medians_hu: pd.Series) -> tuple[float, float]:
    known = medians_hu.dropna().to_numpy(float)
    if len(known) < MIN_CASES:
        return nan, nan
    # Both are values of real cases: of few, their least and greatest, beyond which no interpolation may cut.
    low, high = SPREAD_PERCENTILES
    return float(np.percentile(known, low, method="lower")), float(np.percentile(known, high, method="higher"))


def compare_hu(cases: pd.DataFrame, robust_sds: float) -> pd.DataFrame:
    """Return a row for each region and condition: real and synthetic volumes side by side.

    Args:
        cases: The columns `CASE_COLUMNS` and `OUTLIER_COLUMNS`.

    Returns:
        The columns `TABLE_COLUMNS`: means over cases of the median and of the other percentiles, with 95 % intervals
        over patients of the medians and of the mean difference (synthetic - real) over ``num_pairs`` pairs of
        ``num_patients``; volumes with a value and those without; the limits of outliers and the outliers' names. A
        region without a synthetic volume has one row, with an empty source.
    """
    rows = []
    for region in REGIONS:
        group = cases[cases["region"] == region]
        real, synthetic = group[group["source"] == REAL], group[group["source"] != REAL]
        by_source = [(str(source), found) for source, found in synthetic.groupby("source", sort=False)]
        for source, found in by_source or [("", synthetic)]:
            low, high = robust_limits(real["median_hu"].astype(float), robust_sds)
            row: dict[str, object] = {"region": region, "source": source}
            row |= _side("real", real) | _side("synthetic", found) | _difference(real, found)
            row |= {"limit_low_hu": low, "limit_high_hu": high} | _outliers(pd.concat([real, found]))
            rows.append(row)
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def _side(side: str, rows: pd.DataFrame) -> dict[str, object]:
    medians = rows["median_hu"].astype(float)
    found: dict[str, object] = {f"{side}_{name}": rows[name].astype(float).mean() for name in VALUES}
    found |= _with_ends(f"{side}_median_hu", medians, rows["patient"])
    return {**found, f"num_{side}": int(medians.notna().sum()), f"num_{side}_missing": int(medians.isna().sum())}


def _difference(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, object]:
    own = real.set_index("case")["median_hu"].astype(float)
    apart = synthetic["median_hu"].astype(float) - synthetic["case"].map(own)
    patients = synthetic["patient"][apart.notna()]
    return {
        **_with_ends("difference_hu", apart, synthetic["patient"]),
        "num_pairs": len(patients),
        "num_patients": patients.nunique(),
    }


def _with_ends(name: str, values: pd.Series, patients: pd.Series) -> dict[str, object]:
    numbers = (values.mean(), *mean_interval(values, patients))
    return {f"{name}{end}": number for end, number in zip(ENDS, numbers, strict=True)}


def _outliers(rows: pd.DataFrame) -> dict[str, object]:
    outside = rows[rows[OUTLIER_COLUMNS].astype(bool).any(axis=1)]
    names = [
        case if source == REAL else f"{case} ({source})"
        for case, source in zip(outside["case"], outside["source"], strict=True)
    ]
    return {"num_outliers": len(names), "outliers": "; ".join(names)}
