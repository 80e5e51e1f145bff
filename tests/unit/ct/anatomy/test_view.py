import numpy as np
import pytest

from medsyn2.ct.anatomy.view import MAX_VOXELS, SPACING_MM, coarsen, thumbnail_spacing_mm, thumbnails, view_chest
from medsyn2.ct.lungs import segment_lungs


def test_a_coarse_grid_has_the_means_of_the_volume_in_hu() -> None:
    ramp = np.broadcast_to(np.arange(0, 960, 24, dtype=np.int16)[:, None, None], (40, 16, 16)).copy()
    coarse, spacing_mm = coarsen(ramp, (1.0, 1.0, 1.0))
    assert spacing_mm == SPACING_MM
    assert coarse.shape == (10, 4, 4)
    assert np.allclose(coarse[:, 0, 0], ramp.reshape(10, 4, 256).mean(axis=(1, 2)))
    assert np.array_equal(coarse, coarsen(ramp, (1.0, 1.0, 1.0), thumbnails(ramp, (1.0, 1.0, 1.0)))[0])


def test_thick_slices_are_interpolated_and_thumbnails_keep_each_slice() -> None:
    hu = np.full((6, 8, 8), -1000, dtype=np.int16)
    coarse, _ = coarsen(hu, (8.0, 2.0, 2.0))
    assert coarse.shape == (12, 4, 4)
    assert (coarse == -1000).all()
    assert thumbnails(hu, (0.5, 2.0, 1.0)).shape == (6, 4, 2)
    assert thumbnail_spacing_mm(hu.shape, (0.5, 2.0, 1.0)) == (0.5, 4.0, 4.0)


def test_a_spacing_in_the_wrong_unit_does_not_fill_the_memory() -> None:
    coarse, spacing_mm = coarsen(np.zeros((60, 64, 64), np.int16), (100.0, 30.0, 30.0))
    assert spacing_mm > SPACING_MM
    assert coarse.size < 1.2 * MAX_VOXELS


def test_lungs_are_those_of_the_segmentation_whatever_the_order_of_the_axes(chest, view, view_of) -> None:
    known = segment_lungs(chest, 4.0)
    known_ml = np.count_nonzero(known.labels) * float(np.prod(known.spacing_mm)) / 1000
    assert 0.75 * known_ml < view.lung_ml < known_ml
    spacing = chest.spacing_mm
    turned = view_of(chest.hu.transpose(2, 0, 1), (spacing[2], spacing[0], spacing[1]))
    assert turned.lung_ml == pytest.approx(view.lung_ml, rel=0.02)


def test_lengths_scale_with_the_lungs(chest, view, view_of) -> None:
    depth, height, width = chest.spacing_mm
    child = view_of(chest.hu, (depth * 0.6, height * 0.6, width * 0.6))
    assert child.unit == pytest.approx(0.6 * view.unit, rel=0.1)
    assert child.voxels(40.0) < view.voxels(40.0)


def test_a_turned_view_is_that_of_the_turned_array(view) -> None:
    turned = view.turn((2, 0, 1), (True, False, False))
    assert np.array_equal(turned.hu, view.hu.transpose(2, 0, 1)[::-1])
    assert turned.size == (view.size[2], view.size[0], view.size[1])


def test_gas_and_air_around_the_body_are_no_lungs() -> None:
    hu = np.full((60, 70, 80), -1000.0)
    hu[:, 10:60, 10:70] = 40
    hu[20:40, 25:45, 20:60] = -1000
    noise = np.random.default_rng(0).normal(0, 5, hu.shape)
    assert view_chest((hu + noise).astype(np.float32), 4.0) is None
    hu[20:40, 25:45, 20:60] = -850
    view = view_chest((hu + noise).astype(np.float32), 4.0)
    assert view is not None
    assert view.lung_ml == pytest.approx(20 * 20 * 40 * 0.064, rel=0.1)
    assert view.centre == pytest.approx((29.5, 34.5, 39.5), abs=0.5)


def test_tissue_between_the_lungs_lies_within_their_outer_borders(view) -> None:
    inside = view.between | view.lungs
    assert not (view.between & view.lungs).any()
    assert inside[view.box].sum() == inside.sum()
