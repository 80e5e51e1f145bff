"""Positions, sides and changes of things that are known."""

import numpy as np
import pytest

from medsyn2.ct.mask_edits import keep_half, mirror_mask, shift_mask
from medsyn2.ct.volume import axis_aligned_affine
from medsyn2.evaluation.control.effects import centroid_mm, change, displacement_ratio, laterality

AFFINE = axis_aligned_affine((2.0, 1.0, 3.0), (-30.0, 10.0, 100.0))


def block(*corner: int) -> np.ndarray:
    mask = np.zeros((12, 14, 20), dtype=bool)
    mask[tuple(slice(start, start + 3) for start in corner)] = True
    return mask


def test_the_centroid_of_a_block() -> None:
    assert centroid_mm(block(2, 3, 4), AFFINE) == pytest.approx([-30 + 3 * 5, 10 + 4, 100 + 2 * 3])
    assert np.isnan(centroid_mm(np.zeros((2, 2, 2), dtype=bool), AFFINE)).all()


def test_a_move_moves_the_centroid_by_as_much() -> None:
    before, after = block(2, 3, 4), shift_mask(block(2, 3, 4), (4.0, -2.0, 9.2), (2.0, 1.0, 3.0))
    shift = centroid_mm(after, AFFINE) - centroid_mm(before, AFFINE)
    assert shift == pytest.approx([9, -2, 4])  # x, y, z: 9.2 mm is three voxels of 3 mm
    assert displacement_ratio(shift, shift / 2, 1.0) == pytest.approx(0.5)
    assert np.isnan(displacement_ratio(shift, shift, 20.0))


def test_what_leaves_the_grid_is_lost_and_does_not_come_back() -> None:
    assert not shift_mask(block(2, 3, 4), (1000.0, 0, 0), (2.0, 1.0, 3.0)).any()
    edge = shift_mask(block(9, 3, 4), (2.0, 0, 0), (2.0, 1.0, 3.0))
    assert edge.sum() == 2 * 3 * 3
    assert not edge[0].any()


def test_sides() -> None:
    right = block(2, 3, 1)
    assert laterality(right) == -1
    assert laterality(mirror_mask(right)) == 1
    assert laterality(right | mirror_mask(right)) == 0
    assert np.isnan(laterality(np.zeros((2, 2, 4), dtype=bool)))
    np.testing.assert_array_equal(mirror_mask(mirror_mask(right)), right)


def test_the_middle_plane_belongs_to_no_side() -> None:
    assert np.isnan(laterality(np.ones((1, 1, 1), dtype=bool)))
    assert laterality(np.array([[[True, True, False]]])) == -1


def test_changes_inside_and_outside_and_not_in_the_air() -> None:
    hu = np.full((12, 14, 20), -1000.0)
    hu[1:11, 1:13, 1:19] = 40
    mask, other = block(2, 3, 4), hu.copy()
    other[mask] += 100
    other[0] += 300
    found = change(hu, other, mask)
    assert found.inside_hu == pytest.approx(100)
    assert found.outside_hu == pytest.approx(0)
    assert np.isnan(change(hu, other, np.zeros_like(mask)).inside_hu)


def test_a_half_of_a_mask_lies_on_its_side_and_both_make_the_whole() -> None:
    mask = np.random.default_rng(0).random((4, 5, 6)) > 0.5
    left, right = keep_half(mask, "left"), keep_half(mask, "right")
    assert (laterality(left), laterality(right)) == (1, -1)
    np.testing.assert_array_equal(left | right, mask)
    odd = np.ones((1, 1, 5), dtype=bool)
    assert keep_half(odd, "left").sum() == keep_half(odd, "right").sum() == 2  # the middle plane is of no side
