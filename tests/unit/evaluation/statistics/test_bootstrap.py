"""The interval of a mean over patients."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.statistics.bootstrap import (
    interval_over_patients,
    mean_interval,
    prepend_means,
    ratio_over_patients,
)


def test_the_interval_is_that_of_the_mean_of_independent_patients() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, 400)
    low, high = mean_interval(values, np.arange(400), 2000, rng)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_more_slices_of_the_same_patients_say_no_more() -> None:
    values = np.random.default_rng(0).normal(size=50)
    once = mean_interval(values, np.arange(50), 500, np.random.default_rng(1))
    often = mean_interval(np.repeat(values, 7), np.repeat(np.arange(50), 7), 500, np.random.default_rng(1))
    assert often == pytest.approx(once)


def test_values_that_are_all_alike_have_no_width_and_one_draw_or_patient_has_no_interval() -> None:
    same = np.full(5, 0.25)
    assert mean_interval(same, np.array([0, 1, 1, 2, 3]), 100, np.random.default_rng(0)) == (0.25, 0.25)
    assert np.isnan(mean_interval(same, np.arange(5), 1, np.random.default_rng(0))).all()
    assert np.isnan(mean_interval(same, np.zeros(5, int), 100, np.random.default_rng(0))).all()


def test_patients_are_resampled_by_name_and_one_has_no_interval() -> None:
    values = pd.Series([1.0, 3.0, np.nan, 5.0])
    low, high = interval_over_patients(values, pd.Series(["a", "b", "c", "b"]))
    assert (low, high) == (1.0, 4.0)
    for patients in (["a", "a", "b", "a"], ["a"] * 4):
        assert np.isnan(interval_over_patients(values, pd.Series(patients))).all()
    assert np.isnan(interval_over_patients(values[:0], pd.Series([], dtype=str))).all()


def test_what_two_means_share_does_not_widen_their_ratio() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{index}" for index in range(60)]
    below = pd.Series(rng.uniform(0.1, 0.4, 60), patients)
    ratio, low, high = ratio_over_patients(below / 2, pd.concat([below, below]))
    assert (ratio, low, high) == pytest.approx((0.5, 0.5, 0.5))
    independent = pd.Series(below.to_numpy()[::-1] / 2, patients)
    ratio, low, high = ratio_over_patients(independent, below)
    assert ratio == pytest.approx(0.5)
    assert low < 0.47 < 0.53 < high


def test_a_ratio_is_of_the_patients_that_have_both() -> None:
    below = pd.Series([0.2, 0.4, 0.9, np.nan], ["a", "b", "c", "d"])
    above = pd.Series([0.1, 0.1, 0.7], ["a", "b", "d"])
    assert ratio_over_patients(above, below)[0] == pytest.approx(0.1 / 0.3)
    one = ratio_over_patients(above[:1], below)
    assert one[0] == pytest.approx(0.5)
    assert np.isnan(one[1:]).all()
    assert np.isnan(ratio_over_patients(above[2:], below)).all()


CASES = pd.DataFrame(
    [
        ("a", "p", "moved", 1.0, np.nan),
        ("b", "q", "moved", 3.0, 4.0),
        ("c", "q", "moved", 5.0, 4.0),
        ("a", "p", "mirrored", 2.0, 1.0),
    ],
    columns=["case", "patient", "edit", "x", "y"],
)


def test_each_group_has_its_means_above_the_cases() -> None:
    table = prepend_means(CASES, ["x", "y"], ["edit"])
    assert table["case"].tolist() == ["mean", "low", "high", "mean", "a", "b", "c", "a"]
    mean, low, high, single = (table.iloc[index] for index in range(4))
    assert (mean["edit"], mean["num"], mean["num_patients"]) == ("moved", 3, 2)
    assert (mean["x"], mean["y"]) == (pytest.approx(3.0), 4.0)
    assert (low["x"], high["x"]) == (1.0, 4.0)
    assert np.isnan([low["y"], high["y"]]).all()  # of one patient
    assert (single["edit"], single["x"], single["num_patients"]) == ("mirrored", 2.0, 1)
    pd.testing.assert_frame_equal(table.iloc[4:][CASES.columns].reset_index(drop=True), CASES)


def test_without_groups_all_cases_are_one_and_without_cases_there_are_no_means() -> None:
    assert prepend_means(CASES, ["x"])["case"].tolist()[:3] == ["mean", "low", "high"]
    empty = prepend_means(CASES.iloc[:0], ["x"], ["edit"])
    assert empty.empty
    assert list(empty.columns) == [*CASES.columns, "num", "num_patients"]
