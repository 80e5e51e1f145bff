"""Paired differences: exact where nothing differs, an interval that covers, and cases that lack a partner."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.statistics.paired import CASE_COLUMNS, COLUMNS, compare


def frame(values: dict[str, list[float]], subjects: list[str] | None = None) -> pd.DataFrame:
    rows = [
        ("loss", "mean", variant, subjects[item] if subjects else f"s{item}", f"case{item}", value)
        for variant, column in values.items()
        for item, value in enumerate(column)
    ]
    return pd.DataFrame(rows, columns=CASE_COLUMNS)


def compared(cases: pd.DataFrame) -> pd.DataFrame:
    return compare(cases, "main").set_index("variant")


def test_the_same_values_differ_by_exactly_nothing() -> None:
    values = list(np.random.default_rng(0).normal(size=9))
    row = compared(frame({"main": values, "same": values})).loc["same"]
    assert (row[["difference", "low", "high"]] == 0).all()
    assert row["value"] == row["main"]


def test_what_cases_share_does_not_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    main = rng.normal(0, 100, 40)
    row = compared(frame({"main": list(main), "worse": list(main + 2 + rng.normal(0, 1, 40))})).loc["worse"]
    assert 1.5 < row["low"] < row["difference"] < row["high"] < 2.5


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(100):
        apart = np.random.default_rng(seed).normal(0.3, 1, 30)
        row = compared(frame({"main": [0.0] * 30, "other": list(apart)})).loc["other"]
        hits += row["low"] <= 0.3 <= row["high"]
    assert 86 <= hits <= 99


def test_items_without_a_partner_count_in_the_mean_and_not_in_the_difference() -> None:
    row = compared(frame({"main": [1.0, 2.0], "other": [2.0, 3.0, 10.0, np.nan]})).loc["other"]
    assert row["value"] == 5
    assert (row["difference"], row["num_pairs"]) == (1, 2)


def test_one_patient_gives_no_interval_and_the_main_model_no_difference() -> None:
    table = compared(frame({"main": [1.0, 2.0], "other": [2.0, 3.0]}, ["a", "a"]))
    assert table.loc["other", "difference"] == 1
    assert table.loc["other", ["low", "high"]].isna().all()
    assert table.loc["main", ["main", "difference"]].isna().all()
    assert table.loc["main", "value"] == pytest.approx(1.5)


def test_nothing_measured_gives_an_empty_table() -> None:
    table = compare(pd.DataFrame(columns=CASE_COLUMNS), "main")
    assert list(table.columns) == COLUMNS
    assert table.empty
