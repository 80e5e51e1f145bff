"""Masks of known shapes, moved, mirrored, scaled, grown, and drawn from numbers."""

import numpy as np
import pytest

from medsyn2.ct.mask_edits import (
    ellipsoid_mask,
    grow_mask,
    keep_half,
    mirror_mask,
    scale_mask,
    scatter_nodules,
    shift_mask,
    shrink_mask,
)
from medsyn2.ct.morphology import components
from medsyn2.ct.volume import Grid, axis_aligned_affine
from medsyn2.errors import MaskError

SPACING_MM = (2.0, 1.0, 1.5)
GRID = Grid((40, 60, 60), axis_aligned_affine(SPACING_MM, (-30.0, 10.0, 100.0)))
CENTRE_MM = (-30 + 1.5 * 30, 10 + 30.0, 100 + 2.0 * 20)


def volume_mm3(mask) -> float:
    return float(mask.sum()) * float(np.prod(SPACING_MM))


def ball(diameter_mm: float):
    return ellipsoid_mask(GRID, CENTRE_MM, (diameter_mm,) * 3)


def extent_mm(mask):
    return [(np.ptp(index) + 1) * step for index, step in zip(np.nonzero(mask), SPACING_MM, strict=True)]


def test_an_ellipsoid_has_its_volume_its_diameters_and_its_place():
    mask = ellipsoid_mask(GRID, CENTRE_MM, (20.0, 30.0, 40.0))
    assert volume_mm3(mask) == pytest.approx(np.pi / 6 * 20 * 30 * 40, rel=0.02)
    assert extent_mm(mask) == pytest.approx([20, 30, 40], abs=2)
    assert np.argwhere(mask).mean(axis=0) == pytest.approx([20, 30, 30])
    assert not ellipsoid_mask(GRID, (1000.0, 0.0, 0.0), (5.0, 5.0, 5.0)).any()


def test_growing_and_shrinking_move_the_border_by_as_much():
    assert extent_mm(grow_mask(ball(20), 6.0, SPACING_MM)) == pytest.approx([32, 32, 32], abs=2.5)
    assert extent_mm(shrink_mask(ball(30), 6.0, SPACING_MM)) == pytest.approx([18, 18, 18], abs=3)
    for change in (grow_mask, shrink_mask):
        assert not change(np.zeros(GRID.shape, bool), 3.0, SPACING_MM).any()
        assert change(np.ones(GRID.shape, bool), 3.0, SPACING_MM).all()
    np.testing.assert_array_equal(grow_mask(ball(20), 0.0, SPACING_MM), ball(20))


def test_scaling_multiplies_lengths_about_the_centroid():
    twice = scale_mask(ball(16), 2.0, GRID)
    # A ball of eight voxels is eight voxels less half a voxel at each side.
    assert volume_mm3(twice) == pytest.approx(8 * volume_mm3(ball(16)), rel=0.15)
    assert np.argwhere(twice).mean(axis=0) == pytest.approx([20, 30, 30], abs=0.5)
    np.testing.assert_array_equal(scale_mask(ball(16), 1.0, GRID), ball(16))
    assert not scale_mask(np.zeros(GRID.shape, bool), 2.0, GRID).any()


def test_a_shift_is_undone_by_its_opposite_and_a_mirror_by_itself():
    there = shift_mask(ball(12), (8.0, -5.0, 9.0), SPACING_MM)
    np.testing.assert_array_equal(shift_mask(there, (-8.0, 5.0, -9.0), SPACING_MM), ball(12))
    np.testing.assert_array_equal(mirror_mask(mirror_mask(there)), there)
    assert not shift_mask(ball(12), (1000.0, 0.0, 0.0), SPACING_MM).any()


def test_both_halves_make_the_whole_of_an_even_grid():
    mask = np.random.default_rng(0).random((4, 5, 6)) > 0.5
    np.testing.assert_array_equal(keep_half(mask, "left") | keep_half(mask, "right"), mask)


def test_nodules_lie_in_their_room_apart_and_as_large_as_asked():
    room = np.zeros(GRID.shape, bool)
    room[5:35, 5:55, 30:58] = True
    mask = scatter_nodules(room, GRID, [8.0, 12.0, 10.0], np.random.default_rng(0))
    _, sizes = components(mask)
    expected = [np.pi / 6 * d**3 for d in (8, 10, 12)]
    assert sorted(sizes * np.prod(SPACING_MM)) == pytest.approx(expected, rel=0.15)
    assert not (mask & ~room).any()
    again = scatter_nodules(room, GRID, [8.0, 12.0, 10.0], np.random.default_rng(0))
    np.testing.assert_array_equal(mask, again)


@pytest.mark.parametrize("room", [np.zeros(GRID.shape, bool), ball(10)])
def test_a_nodule_that_fits_nowhere_is_refused(room):
    with pytest.raises(MaskError, match="fits nowhere"):
        scatter_nodules(room, GRID, [20.0], np.random.default_rng(0))
