"""Overlaps and surface distances against MONAI, and on shapes whose distances are known."""

from math import isnan

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

from medsyn2.metrics.overlap import overlap, surface_distances

SPACING_MM = (4.0, 1.5, 2.0)


def blob(seed: int, shape: tuple[int, int, int] = (20, 30, 26)) -> np.ndarray:
    """A smooth random mask."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return noise > np.quantile(noise, 0.7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distances_equal_monai(seed: int) -> None:
    first, second = blob(seed), blob(seed + 10)
    one_hot = [torch.from_numpy(mask)[None, None].float() for mask in (first, second)]
    ours = overlap(first, second, SPACING_MM)
    hd95 = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=SPACING_MM)
    asd = compute_average_surface_distance(
        *one_hot, include_background=True, symmetric=True, spacing=SPACING_MM
    )
    assert ours.hd95_mm == pytest.approx(float(hd95), abs=1e-4)
    assert ours.asd_mm == pytest.approx(float(asd), abs=1e-4)


def test_shifted_box_is_at_the_shift() -> None:
    first, second = np.zeros((2, 20, 20, 20), bool)
    first[5:10, 5:10, 5:10] = True
    second[5:10, 5:10, 8:13] = True
    there, back = surface_distances(first, second, (1.0, 1.0, 2.0))
    assert max(there) == max(back) == 6.0
    assert overlap(first, second, (1.0, 1.0, 2.0)).dice == pytest.approx(2 / 5)


def test_jaccard_follows_from_dice() -> None:
    result = overlap(blob(3), blob(4), SPACING_MM)
    assert result.jaccard == pytest.approx(result.dice / (2 - result.dice))
    assert result.asd_mm <= result.hd95_mm


def test_empty_masks_are_undefined_or_missed() -> None:
    empty, full = np.zeros((8, 8, 8), bool), np.ones((8, 8, 8), bool)
    assert isnan(overlap(empty, empty, SPACING_MM).dice)
    assert not overlap(empty, empty, SPACING_MM).missed
    one = overlap(empty, full, SPACING_MM)
    assert (one.dice, one.jaccard, one.missed) == (0, 0, True)
    assert isnan(one.hd95_mm)
    assert overlap(full, full, SPACING_MM).hd95_mm == 0
