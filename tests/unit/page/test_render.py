"""What comes from users is escaped, and long tables are cut with a note."""

import pandas as pd
import pytest
from jinja2 import UndefinedError

from medsyn2.page.render import MAX_ROWS, render, shown

EMPTY = shown(pd.DataFrame({"a": []}), file="x.csv")
PAGE = {
    "title": "<script>alert(1)</script>",
    "version": "1",
    "cards": [],
    "cohort": "",
    "followings": [],
    "following_png": "",
    "panels": [],
    "figures": [],
    "tables": [],
    "paper": EMPTY,
    "curves_png": "",
    "by_themselves": [],
    "overlays": [],
    "cases": EMPTY,
    "quarantine": EMPTY,
    "timings": EMPTY,
}


def test_hostile_names_are_escaped() -> None:
    bad = shown(pd.DataFrame({"case": ["<img src=x onerror=alert(1)>"]}), file="cases.csv")
    page = render({**PAGE, "cases": bad, "quarantine": bad})
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "default-src 'none'" in page
    assert "1 cases were refused" in page


def test_long_table_says_what_it_leaves_out() -> None:
    page = render({**PAGE, "cases": shown(pd.DataFrame({"a": range(MAX_ROWS + 5)}), file="cases.csv")})
    assert "5 more rows are in cases.csv" in page


def test_words_that_every_row_repeats_are_said_once() -> None:
    frame = pd.DataFrame({"window": ["lung", "lung"], "fid": [1.0, 1.0], "plane": ["a", "b"], "by": ["x", "x"]})
    table = shown(frame, file="fid.csv", gather=True)
    assert (table.columns, table.same) == (["window", "fid", "plane"], {"by": "x"})
    assert "In every row: by <b>x</b>." in render({**PAGE, "tables": [table]})
    assert shown(frame.head(1), file="fid.csv", gather=True).same == {}
    assert shown(frame, file="fid.csv").same == {}


def test_an_interval_stands_behind_its_value() -> None:
    frame = pd.DataFrame(
        {"case": ["a", "b"], "x": [0.5, 0.25], "x_low": [0.4, float("nan")], "x_high": [0.6, float("nan")]}
    )
    table = shown(frame.assign(low=0.1), file="x.csv", gather=True)
    assert table.columns == ["case", "x", "low"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "0.5 (0.4 to 0.6)", "0.1"],
        ["b", "0.25", "0.1"],
    ]
    assert shown(frame, file="x.csv").columns == [*frame.columns]


def test_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render({})
