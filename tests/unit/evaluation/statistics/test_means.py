"""Means above the rows of the cases."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.statistics.intervals import mean_interval
from medsyn2.evaluation.statistics.means import prepend_means

CASES = pd.DataFrame(
    [
        ("a", "p", "moved", 1.0, np.nan),
        ("b", "q", "moved", 3.0, 4.0),
        ("c", "q", "moved", 5.0, 4.0),
        ("d", "r", "moved", 2.0, 4.0),
        ("e", "s", "moved", 2.0, 4.0),
        ("f", "t", "moved", 5.0, 5.0),
        ("a", "p", "mirrored", 2.0, 1.0),
    ],
    columns=["case", "patient", "edit", "x", "y"],
)


def test_each_group_has_its_means_above_the_cases() -> None:
    table = prepend_means(CASES, ["x", "y"], ["edit"])
    assert table["case"].tolist() == ["mean", "low", "high", "known", "mean", "known", *"abcdefa"]
    mean, low, high, known, single, _ = (table.iloc[index] for index in range(6))
    assert (mean["edit"], mean["num"], mean["num_patients"]) == ("moved", 6, 5)
    assert (mean["x"], mean["y"]) == (pytest.approx(3.0), pytest.approx(4.2))
    assert (known["x"], known["y"]) == (6, 5)
    assert (low["x"], high["x"]) == mean_interval(CASES["x"][:6], CASES["patient"][:6])
    assert np.isnan([low["y"], high["y"]]).all()  # of four patients
    assert (single["edit"], single["x"], single["num_patients"]) == ("mirrored", 2.0, 1)
    pd.testing.assert_frame_equal(table.iloc[6:][CASES.columns].reset_index(drop=True), CASES)


def test_without_groups_all_cases_are_one_and_without_cases_there_are_no_means() -> None:
    assert prepend_means(CASES, ["x"])["case"].tolist()[:4] == ["mean", "low", "high", "known"]
    empty = prepend_means(CASES.iloc[:0], ["x"], ["edit"])
    assert empty.empty
    assert list(empty.columns) == [*CASES.columns, "num", "num_patients"]


def test_the_interval_of_a_share_does_not_leave_its_range() -> None:
    shares = CASES.assign(x=[1.0, 0.4, 1.0, 1.0, 1.0, 1.0, 1.0])
    free, within = (prepend_means(shares, ["x"], ["edit"], within=ends) for ends in ({}, {"x": (0.0, 1.0)}))
    assert free["x"].iloc[2] > 1 == within["x"].iloc[2]
    assert free["x"].iloc[1] == within["x"].iloc[1]
