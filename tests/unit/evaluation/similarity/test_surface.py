"""Surface distances against MONAI, a brute force and shapes whose distances are known."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsyn2.evaluation.similarity.surface import bounding_box, surface_distances, surface_voxels

SPACING_MM = (4.0, 1.5, 2.0)


def blob(seed: int, shape: tuple[int, int, int] = (20, 30, 26)) -> np.ndarray:
    """A smooth random mask; it touches the edges of the grid."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return noise > np.quantile(noise, 0.7)


def one_hot(*masks: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(mask)[None, None].float() for mask in masks]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distances_equal_monai(seed: int) -> None:
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    pair = blob(seed), blob(seed + 10)
    found = surface_distances(*pair, SPACING_MM)
    settings = {"include_background": True, "spacing": SPACING_MM}
    hd95 = compute_hausdorff_distance(*one_hot(*pair), percentile=95, **settings)
    assd = compute_average_surface_distance(*one_hot(*pair), symmetric=True, **settings)
    dice = compute_surface_dice(*one_hot(*pair), class_thresholds=[3.0], **settings)
    assert found.hd95_max_mm == pytest.approx(float(hd95), abs=1e-4)
    assert found.assd_mm == pytest.approx(float(assd), abs=1e-4)
    assert found.surface_dice(3.0) == pytest.approx(float(dice), abs=1e-4)


@pytest.mark.parametrize("seed", [3, 4])
def test_distances_equal_a_brute_force(seed: int) -> None:
    """As medpy makes them: inner border by erosion, distances of all pairs, pooled percentile."""
    masks = blob(seed, (9, 12, 10)), blob(seed + 10, (9, 12, 10))
    points = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(SPACING_MM) for mask in masks]
    every = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    pooled = np.concatenate([every.min(1), every.min(0)])
    found = surface_distances(*masks, SPACING_MM)
    assert found.hd95_pooled_mm == pytest.approx(np.percentile(pooled, 95))
    assert found.assd_mm == pytest.approx(pooled.mean())
    assert found.hd95_max_mm >= found.hd95_pooled_mm


def test_shifted_box_is_at_the_shift() -> None:
    first, second = np.zeros((2, 20, 20, 20), bool)
    first[5:10, 5:10, 5:10] = True
    second[5:10, 5:10, 8:13] = True
    found = surface_distances(first, second, (1.0, 1.0, 2.0))
    assert max(found.there) == max(found.back) == 6.0
    assert found.surface_dice(6.0) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_mean_percentile_and_largest_hold_their_order(seed: int) -> None:
    """mean <= 0.95 p95 + 0.05 max: printed tables that break this have their columns mixed up."""
    found = surface_distances(blob(seed), blob(seed + 20), SPACING_MM)
    largest = max(found.there.max(), found.back.max())
    assert found.assd_mm <= 0.95 * found.hd95_pooled_mm + 0.05 * largest
    assert found.hd95_max_mm <= largest


def test_axes_and_spacing_turn_together() -> None:
    first, second = blob(5), blob(6)
    turned = [mask.transpose(2, 0, 1) for mask in (first, second)]
    assert surface_distances(*turned, (2.0, 4.0, 1.5)).assd_mm == pytest.approx(
        surface_distances(first, second, SPACING_MM).assd_mm
    )


def test_surface_of_a_cube_and_of_a_full_grid() -> None:
    mask = np.zeros((7, 8, 9), bool)
    mask[2:5, 3:6, 4:7] = True
    assert bounding_box(mask) == (slice(2, 5), slice(3, 6), slice(4, 7))
    assert len(surface_voxels(mask)) == 26
    assert len(surface_voxels(np.ones((3, 3, 3), bool))) == 26


def test_empty_masks_have_no_distance() -> None:
    with pytest.raises(ValueError, match="no surface"):
        surface_distances(np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool), SPACING_MM)


def test_distances_of_slices_are_those_of_their_outlines() -> None:
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    pair = blob(0)[8], blob(3)[8]
    found = surface_distances(*pair, SPACING_MM[1:])
    settings = {"include_background": True, "spacing": SPACING_MM[1:]}
    hd95 = compute_hausdorff_distance(*one_hot(*pair), percentile=95, **settings)
    assd = compute_average_surface_distance(*one_hot(*pair), symmetric=True, **settings)
    assert found.hd95_max_mm == pytest.approx(float(hd95), abs=1e-4)
    assert found.assd_mm == pytest.approx(float(assd), abs=1e-4)
