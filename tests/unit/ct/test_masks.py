"""Boundaries and resampled labels against references and shapes whose answer is known."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsyn2.ct.masks import fill_with_nearest, labels_on_grid, lobe_boundaries, touching_labels_on_grid, volume_ml
from medsyn2.ct.volume import Grid, LabelMap, axis_aligned_affine

ORIGIN = (0.0, 0.0, 0.0)


def lobes(shape: tuple[int, int, int] = (20, 24, 22)) -> np.ndarray:
    """Two regions that touch, inside background."""
    labels = np.zeros(shape, np.uint8)
    labels[3:10, 4:20, 5:17] = 1
    labels[10:17, 4:20, 5:17] = 2
    return labels


def test_boundaries_equal_scikit_image_inside_the_lobes() -> None:
    from skimage.segmentation import find_boundaries

    labels = lobes()
    expected = find_boundaries(labels, connectivity=1, mode="inner", background=0)
    np.testing.assert_array_equal(lobe_boundaries(labels, 0), expected)


@pytest.mark.parametrize("radius", [1, 2])
def test_dilation_is_by_a_cube(radius: int) -> None:
    cube = np.ones((2 * radius + 1,) * 3, bool)
    expected = ndimage.binary_dilation(lobe_boundaries(lobes(), 0), cube)
    np.testing.assert_array_equal(lobe_boundaries(lobes(), radius), expected)


@pytest.mark.parametrize("radius", [1, 3])
def test_ball_is_itk_s(radius: int) -> None:
    inside = sitk.GetImageFromArray(lobe_boundaries(lobes(), 0).astype(np.uint8))
    expected = sitk.GetArrayFromImage(sitk.BinaryDilate(inside, [radius] * 3, sitk.sitkBall)) > 0
    np.testing.assert_array_equal(lobe_boundaries(lobes(), radius, "ball"), expected)


def test_wall_between_two_lobes_is_four_voxels_thick_with_the_paper_s_cube() -> None:
    column = lobe_boundaries(lobes(), 1)[:, 12, 11]
    assert column[5:15].tolist() == [False] * 3 + [True] * 4 + [False] * 3


def test_volume_s_border_is_no_boundary_and_nothing_has_none() -> None:
    assert not lobe_boundaries(np.ones((6, 6, 6), np.uint8), 1).any()
    assert not lobe_boundaries(np.zeros((6, 6, 6), np.uint8), 1).any()


def test_labels_survive_their_own_grid_and_follow_a_shift() -> None:
    source = LabelMap(lobes(), axis_aligned_affine((2.0, 2.0, 2.0), ORIGIN), {1: "a", 2: "b"})
    np.testing.assert_array_equal(labels_on_grid(source, source.grid, np.eye(4), 0.5), source.labels)
    shift = np.eye(4)
    shift[2, 3] = 4.0  # two voxels up in the source
    moved = labels_on_grid(source, source.grid, shift, 0.5)
    np.testing.assert_array_equal(moved[:-2], source.labels[2:])


def test_touching_labels_leave_no_gap_on_a_coarser_grid() -> None:
    source = LabelMap(lobes((21, 24, 22)), axis_aligned_affine((1.0, 1.0, 1.0), ORIGIN), {1: "a", 2: "b"})
    grid = Grid((7, 8, 7), axis_aligned_affine((3.0, 3.0, 3.0), (1.0, 1.0, 1.0)))
    labels = touching_labels_on_grid(source, grid, np.eye(4), 0.5)
    column = labels[:, 4, 3]
    inside = np.flatnonzero(column)
    assert (np.diff(inside) == 1).all()
    assert set(column[inside]) == {1, 2}
    empty = LabelMap(np.zeros((4, 4, 4), np.uint8), source.affine_mm, source.names)
    assert not touching_labels_on_grid(empty, grid, np.eye(4), 0.5).any()


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (float(np.float32(0.7)),) * 3, (2.0, 0.7, 0.9)])
@pytest.mark.parametrize("share", [0.3, 0.02, 0.0005])
def test_gaps_get_the_label_that_scipy_s_transform_finds_nearest(spacing_mm, share: float) -> None:
    """Ties included, and also where the nearest label is farther than the offsets reach."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((30, 34, 38)) < share, rng.integers(1, 6, (30, 34, 38)), 0).astype(np.uint8)
    gaps = (labels == 0) & (rng.random(labels.shape) < 0.5)
    nearest = ndimage.distance_transform_edt(labels == 0, spacing_mm, return_distances=False, return_indices=True)
    expected = np.where(gaps, labels[tuple(nearest)], labels)
    fill_with_nearest(labels, gaps, spacing_mm)
    np.testing.assert_array_equal(labels, expected)


def test_volume_is_in_millilitres() -> None:
    assert volume_ml(np.ones((10, 10, 10), bool), (2.0, 1.0, 0.5)) == pytest.approx(1.0)
