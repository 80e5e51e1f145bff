"""The table of the augmentation study on maps made by hand: what is counted, averaged and compared."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.augmentation.arms import (
    CASES_COLUMNS,
    MEASURES,
    compare_arms,
    judge_slices,
    mean_dice,
    table_columns,
)
from medsyn2.evaluation.augmentation.slices import LabelledSlice

SIZES = {
    arm: {"num_real": 4, "num_synthetic": 3, "num_steps": 10, "structure": "heart"}
    for arm in ("real", "synthetic", "both")
}


def square(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((12, 12), dtype=bool)
    mask[start:stop, start:stop] = True
    return mask


def slices_of(num: int = 6) -> list[LabelledSlice]:
    masks = [square(1 + index % 3, 7 + index % 4) for index in range(num)]
    hu = np.zeros((12, 12), np.int16)
    return [LabelledSlice(f"c{i}", f"p{i // 2}", hu, mask, (2.0, 2.0)) for i, mask in enumerate(masks)]


def maps(slices: list[LabelledSlice], seed: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([np.clip(one.mask * 0.8 + rng.uniform(0, noise, (12, 12)), 0, 1) for one in slices])


def rows_of(slices: list[LabelledSlice], found: dict[str, list[np.ndarray]]) -> pd.DataFrame:
    rows = [
        row
        for arm, by_seed in found.items()
        for seed, probability in enumerate(by_seed)
        for row in judge_slices(probability, slices, arm=arm, seed=seed, tolerance_mm=2.0)
    ]
    return pd.DataFrame(rows, columns=CASES_COLUMNS)


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_over_thresholds_is_that_of_256_binarised_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random((12, 12)).astype(np.float32)
    probability[0, 0], probability[0, 1] = 0.0, 1.0
    reference = square(2, 8)
    expected = [
        2 * (found & reference).sum() / (found.sum() + reference.sum())
        for found in (probability.astype(float) * 255 >= threshold for threshold in range(256))
    ]
    assert mean_dice(probability, reference) == pytest.approx(np.mean(expected), abs=1e-12)
    assert np.isnan(mean_dice(probability, np.zeros((12, 12), bool)))


def test_identical_training_sets_differ_by_exactly_nothing() -> None:
    slices = slices_of()
    found = [maps(slices, seed, 0.9) for seed in range(5)]
    table = compare_arms(rows_of(slices, dict.fromkeys(SIZES, found)), SIZES)
    assert list(table.columns) == table_columns()
    apart = table[table["arm"] != "real"].filter(like="_minus_real")
    assert apart.shape == (2, 3 * len(MEASURES))
    assert (apart[[name for name in apart if name.endswith("_minus_real")]] == 0.0).all(axis=None)
    # Equal values by networks that could each have been another: three patients have no interval.
    assert apart.filter(regex="_(low|high)$").isna().all(axis=None)
    assert table[table["arm"] == "real"].filter(like="_minus_real").isna().all(axis=None)


def test_a_worse_set_is_worse_beyond_its_interval_and_the_difference_is_that_of_the_means() -> None:
    slices = slices_of(20)
    found = {
        "real": [maps(slices, seed, 0.4) for seed in range(3)],
        "synthetic": [maps(slices, seed, 0.9) for seed in range(3)],
    }
    table = compare_arms(rows_of(slices, found), SIZES).set_index("arm")
    worse = table.loc["synthetic"]
    assert worse["dice_minus_real_high"] < 0
    assert worse["dice_minus_real"] == pytest.approx(worse["dice"] - table.loc["real", "dice"], abs=1e-12)
    assert worse["dice_minus_real_low"] <= worse["dice_minus_real"] <= worse["dice_minus_real_high"]
    assert worse["dice_low"] < worse["dice"] < worse["dice_high"]
    assert table.loc["real", ["dice", "jaccard", "assd_mm", "hd95_max_mm"]].tolist() == [1, 1, 0, 0]
    assert worse["dice_sd"] > 0 == table.loc["real", "dice_sd"]


def test_networks_that_disagree_have_an_interval_of_possible_overlaps() -> None:
    slices = slices_of(20)
    blind = np.zeros((20, 12, 12))
    found = {"real": [maps(slices, seed, 0.4) for seed in range(3)], "synthetic": [maps(slices, 0, 0.4), blind, blind]}
    table = compare_arms(rows_of(slices, found), SIZES).set_index("arm")
    row = table.loc["synthetic"]
    assert (row["dice_low"], row["dice_high"]) == (0, 1)
    assert row["dice_minus_real_low"] == -1 < row["dice_minus_real_high"] < 1


def test_what_is_empty_is_counted_and_left_out_as_in_other_tables() -> None:
    slices = slices_of(4)
    nothing = LabelledSlice("empty", "p9", slices[0].hu, np.zeros((12, 12), bool), (2.0, 2.0))
    slices = [*slices, nothing]
    perfect = np.stack([one.mask.astype(float) for one in slices])
    missed, alarm = perfect.copy(), perfect.copy()
    missed[0], alarm[4, 3, 3] = 0, 1
    table = compare_arms(rows_of(slices, {"real": [perfect, missed], "both": [alarm, perfect]}), SIZES)
    real, both = table.set_index("arm").loc["real"], table.set_index("arm").loc["both"]
    counts = ["num_test", "num_present", "num_patients", "num_missed", "num_false_alarm", "num_both_empty"]
    assert real[counts].tolist() == [5, 4, 3, 1, 0, 2]
    assert both[counts].tolist() == [5, 4, 3, 0, 1, 1]
    assert real["dice"] == pytest.approx((1 + 0.75) / 2)
    assert real["assd_mm"] == 0
    assert both["dice"] == 1
    assert both["dice_minus_real"] == pytest.approx(1 / 8)


def test_a_network_that_finds_nothing_at_all_has_overlaps_and_no_distances() -> None:
    slices = slices_of(4)
    blind = np.zeros((4, 12, 12))
    found = {"real": [maps(slices, 0, 0.1)], "synthetic": [blind]}
    row = compare_arms(rows_of(slices, found), SIZES).set_index("arm").loc["synthetic"]
    assert row["dice"] == 0
    assert row["num_missed"] == 4
    assert np.isnan([row["assd_mm"], row["assd_mm_minus_real"], row["assd_mm_minus_real_low"]]).all()


def test_without_any_structure_to_find_there_is_no_mean() -> None:
    slices = [LabelledSlice("a", "a", np.zeros((12, 12), np.int16), np.zeros((12, 12), bool), (1.0, 1.0))]
    table = compare_arms(rows_of(slices, {"real": [np.zeros((1, 12, 12))]}), SIZES)
    assert table["num_both_empty"].tolist() == [1]
    assert table[["dice", "dice_low", "assd_mm"]].isna().all(axis=None)
