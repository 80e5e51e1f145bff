"""Overlaps, what empty masks do to them, and what a table says of them."""

from dataclasses import asdict
from math import isnan

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from medsyn2.evaluation.similarity.overlap import OVERLAPS, VALUES, Overlap, overlap, summarise

SPACING_MM = (4.0, 1.5, 2.0)
EMPTY, FULL = np.zeros((8, 8, 8), bool), np.ones((8, 8, 8), bool)


def blob(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(20, 30, 26)), 3)
    return noise > np.quantile(noise, 0.7)


def test_dice_and_jaccard_by_counting() -> None:
    first, second = np.zeros((2, 4, 4, 4), bool)
    first[:2, :2, :2] = True
    second[1:3, :2, :2] = True
    found = overlap(first, second, SPACING_MM, 1.0)
    assert (found.dice, found.jaccard) == (0.5, pytest.approx(1 / 3))
    assert (found.surface_dice, overlap(first, second, SPACING_MM, 4.0).surface_dice) == (0.5, 1.0)


def test_jaccard_follows_from_dice_in_each_case_and_not_in_the_mean() -> None:
    found = [overlap(blob(seed), blob(seed + shift), SPACING_MM, 2.0) for seed, shift in ((3, 1), (5, 0))]
    for one in found:
        assert one.jaccard == pytest.approx(one.dice / (2 - one.dice))
    dice, jaccard = (np.mean([getattr(one, name) for one in found]) for name in ("dice", "jaccard"))
    assert jaccard > dice / (2 - dice)


def test_empty_masks_are_undefined_missed_or_false_alarms() -> None:
    both = overlap(EMPTY, EMPTY, SPACING_MM, 1.0)
    assert both.both_empty
    assert all(isnan(getattr(both, name)) for name in VALUES)
    missed, alarm = overlap(EMPTY, FULL, SPACING_MM, 1.0), overlap(FULL, EMPTY, SPACING_MM, 1.0)
    assert (missed.missed, missed.false_alarm, alarm.missed, alarm.false_alarm) == (True, False, False, True)
    for one in (missed, alarm):
        assert (one.dice, one.jaccard, one.surface_dice) == (0, 0, 0)
        assert isnan(one.hd95_max_mm)
    assert overlap(FULL, FULL, SPACING_MM, 1.0).hd95_pooled_mm == 0


def test_summary_leaves_out_what_is_empty_and_counts_it() -> None:
    pairs = [
        Overlap(0.8, 0.7, 0.9, 2.0, 2.0, 1.0),
        Overlap(0.4, 0.3, 0.5, 4.0, 3.0, 2.0),
        Overlap(0.0, 0.0, 0.0, missed=True),
        Overlap(0.0, 0.0, 0.0, false_alarm=True),
        Overlap(both_empty=True),
        Overlap(both_empty=True),
    ]
    frame = pd.DataFrame(
        [
            {"structure": "nodules", "comparison": "requested", "patient": name, **asdict(pair)}
            for name, pair in zip("ppqrst", pairs, strict=True)
        ]
    )
    row = summarise(frame, ["structure", "comparison"]).iloc[0]
    assert (row["num"], row["num_present"], row["num_missed"]) == (6, 3, 1)
    assert (row["num_false_alarm"], row["num_both_empty"], row["num_patients"]) == (1, 2, 2)
    assert row["miss_rate"] == pytest.approx(1 / 3)
    assert row["dice"] == pytest.approx((0.8 + 0.4 + 0.0) / 3)
    assert row["dice_median"] == pytest.approx(0.4)
    assert row["surface_dice"] == pytest.approx((0.9 + 0.5 + 0.0) / 3)
    assert row["num_distances"] == 2
    assert np.isnan(row[["dice_low", "assd_mm_low"]].astype(float)).all()  # of two patients
    assert row["hd95_max_mm"] == pytest.approx(3.0)


def test_to_miss_a_structure_is_never_better_than_to_find_it_badly() -> None:
    wanted, bad = np.zeros((2, 20, 20, 20), bool)
    wanted[5:15, 5:15, 5:15] = True
    bad[9:19, 5:15, 5:15] = True
    found = {
        name: summarise(
            pd.DataFrame(
                [
                    {"structure": "heart", "patient": "p", **asdict(overlap(one, wanted, (1.0, 1.0, 1.0), 1.0))}
                    for one in (wanted, second)
                ]
            ),
            ["structure"],
        ).iloc[0]
        for name, second in (("badly", bad), ("missed", np.zeros_like(wanted)))
    }
    assert (found["missed"][[*OVERLAPS]] < found["badly"][[*OVERLAPS]]).all()
    assert [found[name]["num_distances"] for name in ("badly", "missed")] == [2, 1]


def test_summary_of_nothing_has_its_columns_and_of_empty_masks_no_values() -> None:
    nothing = pd.DataFrame(columns=["structure", "patient", *asdict(Overlap())])
    assert summarise(nothing, ["structure"]).empty
    only = pd.DataFrame([{"structure": "heart", "patient": "p", **asdict(Overlap(both_empty=True))}])
    row = summarise(only, ["structure"]).iloc[0]
    assert row[["dice", "assd_mm", "miss_rate"]].isna().all()
    assert (row["num"], row["num_present"]) == (1, 0)
