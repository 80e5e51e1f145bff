"""The figure draws what there is, names outliers, and is the same in every run."""

import io

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from medsyn2.evaluation.hu.figure import _draw_region, hu_png
from medsyn2.evaluation.hu.hu import CASE_COLUMNS, REGIONS, HuSpread, case_rows, compare_hu, mark_outliers
from medsyn2.facts import REAL

CENTRES = dict(zip(REGIONS, (-850.0, 40.0, -400.0, 300.0, 45.0, -105.0), strict=True))


def tables(num_cases: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return table and cases of some patients; the heart has no synthetic volume, one lung of 0 HU."""
    rng = np.random.default_rng(0)
    rows = []
    for source, shift in ((REAL, 0.0), ("lobes", 20.0)):
        for case in range(num_cases):
            spreads = {}
            for region, centre in CENTRES.items():
                at = 0.0 if (source, case, region) == ("lobes", 1, "lungs") else centre + shift + rng.normal(0, 8)
                missing = source == "lobes" and region == "heart"
                spreads[region] = HuSpread() if missing else HuSpread(9, at - 60, at - 25, at, at + 25, at + 60, 50.0)
            rows += case_rows(f"case_{case}", f"patient_{case}", source, spreads)
    cases = mark_outliers(pd.DataFrame(rows, columns=CASE_COLUMNS), 3.5)
    return compare_hu(cases, 3.5), cases


def test_the_figure_is_a_picture_and_the_same_again() -> None:
    drawn = hu_png(*tables())
    assert Image.open(io.BytesIO(drawn)).size == (int(3 * 4.2 * 130), int(2 * 3.4 * 130))
    assert drawn == hu_png(*tables())


def test_one_patient_is_drawn_without_an_interval() -> None:
    assert hu_png(*tables(num_cases=1))


def test_an_outlier_is_named_and_a_missing_organ_is_said_to_be_missing() -> None:
    table, cases = tables()
    axes = Figure().subplots(1, 2)
    for axis, region in zip(axes, ("lungs", "heart"), strict=True):
        _draw_region(axis, region, table[table["region"] == region], cases[cases["region"] == region])
    assert "case_1" in [text.get_text() for text in axes[0].texts]
    assert "missing" in [text.get_text() for text in axes[1].texts]


def test_many_outliers_are_counted_and_the_farthest_named() -> None:
    table, cases = tables()
    cases.loc[cases["source"] == "lobes", "beyond_robust_sd"] = True
    axis = Figure().subplots()
    _draw_region(axis, "lungs", table[table["region"] == "lungs"], cases[cases["region"] == "lungs"])
    said = [text.get_text() for text in axis.texts]
    assert "6 of 6 outside" in said
    assert "case_1" in said
    assert len(said) == 4
