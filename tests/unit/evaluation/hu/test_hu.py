"""HU of boxes are known; missing regions stay missing, outliers are listed and stay in the means."""

from math import isnan

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.hu.hu import (
    CASE_COLUMNS,
    HuSpread,
    case_rows,
    compare_hu,
    hu_spread,
    mark_outliers,
    robust_limits,
    tissue_spreads,
)
from medsyn2.facts import REAL


def phantom() -> np.ndarray:
    """A box of muscle (50 HU) in air, with a shell of fat (-100 HU) and a bar of bone (400 HU)."""
    hu = np.full((12, 20, 20), -1000, dtype=np.int16)
    hu[1:-1, 2:-2, 2:-2] = -100
    hu[2:-2, 4:-4, 4:-4] = 50
    hu[2:-2, 9:11, 9:11] = 400
    return hu


def table_of(medians: dict[str, dict[str, float]], region: str = "lungs") -> pd.DataFrame:
    """Return marked cases with the given medians, by source and case; a case is a patient."""
    rows = [
        row
        for source, cases in medians.items()
        for case, median in cases.items()
        for row in case_rows(
            case, case, source, {region: HuSpread() if isnan(median) else HuSpread(9, *[median] * 5, 0.0)}
        )
    ]
    return mark_outliers(pd.DataFrame(rows, columns=CASE_COLUMNS), 3.5)


def row_of(medians: dict[str, dict[str, float]]) -> pd.Series:
    """Return the only row of the comparison."""
    return compare_hu(table_of(medians), 3.5).set_index("region").loc["lungs"]


def test_percentiles_of_a_ramp_are_its_own() -> None:
    ramp = np.arange(101, dtype=np.int16).reshape(1, 1, 101) - 900
    spread = hu_spread(ramp, np.ones(ramp.shape, dtype=bool))
    assert spread == HuSpread(101, -895.0, -875.0, -850.0, -825.0, -805.0, 50.0)


def test_no_mask_and_an_empty_mask_are_missing_and_not_zero() -> None:
    hu = phantom()
    for region in (None, np.zeros(hu.shape, dtype=bool)):
        spread = hu_spread(hu, region)
        assert spread.num_voxels == 0
        assert isnan(spread.median_hu)
        assert isnan(spread.iqr_hu)


def test_tissues_are_found_by_their_ranges_inside_the_body() -> None:
    hu = phantom()
    hu[0, 0, 0] = 2000  # outside the body: a wire of the table
    found = tissue_spreads(hu)
    assert {name: spread.median_hu for name, spread in found.items()} == {"bone": 400, "muscle": 50, "fat": -100}
    assert found["bone"].num_voxels == 8 * 2 * 2
    assert found["muscle"].num_voxels == 8 * 12 * 12 - 8 * 2 * 2
    assert found["fat"].num_voxels == 10 * 16 * 16 - 8 * 12 * 12


def test_a_volume_of_air_has_no_tissue() -> None:
    assert all(isnan(spread.median_hu) for spread in tissue_spreads(np.full((9, 9, 9), -1000, np.int16)).values())


def test_the_difference_is_paired_by_case_and_has_an_interval_over_patients() -> None:
    real = {"a": -800.0, "b": -700.0, "c": -600.0, "d": -700.0, "e": -700.0}
    synthetic = {"a": -790.0, "b": -680.0, "c": -590.0, "d": -680.0, "e": -685.0, "f": 0.0}
    row = row_of({REAL: real, "lobes": synthetic})
    assert row["difference_hu"] == pytest.approx(15.0)
    assert 5.0 < row["difference_hu_low"] < 15.0 < row["difference_hu_high"] < 25.0
    assert (row["num_pairs"], row["num_patients"], row["num_synthetic"]) == (5, 5, 6)
    assert row["real_median_hu"] == -700.0
    assert row["synthetic_median_hu"] == pytest.approx(-3425 / 6)


def test_a_single_patient_has_a_difference_and_no_interval() -> None:
    row = row_of({REAL: {"a": -800.0}, "lobes": {"a": -790.0}})
    assert row["difference_hu"] == 10.0
    assert isnan(row["difference_hu_low"])
    assert isnan(row["real_median_hu_high"])
    assert isnan(row["limit_low_hu"])
    assert row["num_outliers"] == 0


def test_missing_values_are_counted_and_left_out_of_the_means() -> None:
    row = row_of({REAL: {"a": -800.0, "b": np.nan}, "lobes": {"a": np.nan, "b": -700.0}})
    assert (row["num_real"], row["num_real_missing"]) == (1, 1)
    assert (row["num_synthetic"], row["num_synthetic_missing"]) == (1, 1)
    assert (row["real_median_hu"], row["synthetic_median_hu"]) == (-800.0, -700.0)
    assert row["num_pairs"] == 0
    assert isnan(row["difference_hu"])


def test_outliers_are_named_and_stay_in_the_mean() -> None:
    real = {f"r{place}": -800.0 + place for place in range(-3, 4)}
    row = row_of({REAL: real, "lobes": {"r0": -799.0, "r1": 0.0}})
    # The median absolute deviation of -3, ..., 3 is 2.
    assert row["limit_low_hu"] == pytest.approx(-800 - 3.5 * 1.4826 * 2)
    assert row["limit_high_hu"] == pytest.approx(-800 + 3.5 * 1.4826 * 2)
    assert (row["num_outliers"], row["outliers"]) == (1, "r1 (lobes)")
    assert row["synthetic_median_hu"] == pytest.approx(-399.5)


def test_a_synthetic_case_outside_all_real_ones_is_an_outlier_and_a_real_extreme_is_none() -> None:
    real = {f"r{place}": -800.0 + place for place in range(-3, 4)}
    marked = table_of({REAL: real, "lobes": {"r0": -795.0}})
    assert not marked["beyond_robust_sd"].any()
    assert marked.loc[marked["beyond_percentiles"], "source"].tolist() == ["lobes"]


def test_a_real_outlier_is_listed_too() -> None:
    real = {f"r{place}": -800.0 + place for place in range(-3, 4)} | {"far": -100.0}
    assert row_of({REAL: real, "lobes": {"r0": -800.0}})["outliers"] == "far"


def test_limits_need_three_known_values() -> None:
    assert np.isnan(robust_limits(pd.Series([1.0, 2.0, np.nan]), 3.0)).all()
    assert robust_limits(pd.Series([1.0, 2.0, 3.0]), 1.0) == pytest.approx((2 - 1.4826, 2 + 1.4826))


def test_every_region_has_a_row_even_without_a_synthetic_volume() -> None:
    table = compare_hu(table_of({REAL: {"a": 1.0}}), 3.5)
    assert table["region"].tolist() == ["lungs", "heart", "vessels", "bone", "muscle", "fat"]
    assert set(table["source"]) == {""}
    assert table.set_index("region").loc["heart", "num_real"] == 0
