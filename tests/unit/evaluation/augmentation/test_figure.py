"""The figure of the augmentation study."""

import io

import matplotlib.image
import numpy as np
import pandas as pd

from medsyn2.evaluation.augmentation.arms import ARMS, CASES_COLUMNS, compare_arms, judge_slices
from medsyn2.evaluation.augmentation.figure import FOUND_COLOUR, JudgedSlice, augmentation_png, nothing_png
from medsyn2.evaluation.augmentation.slices import LabelledSlice


def slices(num: int) -> list[LabelledSlice]:
    rows, columns = np.indices((16, 16))
    mask = (rows - 8) ** 2 + (columns - 7) ** 2 < 20
    hu = np.where(mask, 40, -850).astype(np.int16)
    return [LabelledSlice(f"case {index}", f"p{index}", hu, mask, (2.0, 2.0)) for index in range(num)]


def figure(found: np.ndarray, num_patients: int = 5) -> bytes:
    test = slices(num_patients)
    rows = [
        row
        for arm in ARMS
        for seed in range(2)
        for row in judge_slices(np.stack([found] * num_patients), test, arm=arm, seed=seed, tolerance_mm=2.0)
    ]
    cases = pd.DataFrame(rows, columns=CASES_COLUMNS)
    sizes = {arm: {"num_real": 1, "num_synthetic": 1, "num_steps": 1, "structure": "heart"} for arm in ARMS}
    table = compare_arms(cases, sizes)
    shown = [JudgedSlice(one, dict.fromkeys(ARMS, (found >= 0.5, 0.5))) for one in test]
    return augmentation_png({"real": slices(2), "SYNTHETIC": slices(2)}, shown, table, cases)


def pixels(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def blue_share(png: bytes) -> float:
    colour = np.array([int(FOUND_COLOUR[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return float((np.abs(pixels(png) - colour).max(axis=-1) < 0.05).mean())


def test_what_is_found_is_drawn_and_equal_input_gives_equal_bytes() -> None:
    found = np.zeros((16, 16))
    found[5:12, 5:12] = 1.0
    first = figure(found)
    assert first == figure(found)
    nothing = figure(np.zeros((16, 16)))
    assert blue_share(first) > blue_share(nothing) > 0  # the legend stays


def test_a_study_without_intervals_is_drawn_too() -> None:
    found = np.zeros((16, 16))
    found[5:12, 5:12] = 1.0
    assert pixels(figure(found, num_patients=3)).shape[0] > 500


def test_a_study_without_slices_says_so() -> None:
    assert nothing_png("no slices") != nothing_png("other words")
