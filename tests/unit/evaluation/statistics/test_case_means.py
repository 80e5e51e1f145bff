"""Means above the cases, with intervals where there are several patients."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.statistics.case_means import prepend_means

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
