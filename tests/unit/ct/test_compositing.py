"""Blends of known widths, and seams of known heights."""

import numpy as np
import pytest

from medsyn2.ct.compositing import blend_weights, insert, measure_seam
from medsyn2.ct.volume import CTVolume, axis_aligned_affine

SPACING_MM = (2.0, 1.0, 1.0)
AFFINE = axis_aligned_affine(SPACING_MM, (5.0, -7.0, 30.0))
SHAPE = (16, 24, 28)


@pytest.fixture
def region():
    inside = np.zeros(SHAPE, dtype=bool)
    inside[3:13, 4:20, 5:23] = True
    return inside


def ct(dtype=np.int16, seed=0):
    values = np.random.default_rng(seed).integers(-1000, 1000, SHAPE)
    return CTVolume(values.astype(dtype), AFFINE)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_outside_the_region_every_voxel_keeps_its_bits_and_deep_inside_it_is_the_new_one(region, dtype):
    before, made = ct(dtype), ct(seed=1)
    after = insert(before, made, region, None, blend_mm=3.0)
    assert after.hu.dtype == dtype
    assert after.hu[~region].tobytes() == before.hu[~region].tobytes()
    np.testing.assert_array_equal(after.hu[6:10, 8:16, 9:19], made.hu[6:10, 8:16, 9:19])
    assert (after.hu != before.hu).sum() > 0.9 * region.sum()


def test_the_weights_rise_over_the_blend_and_not_beyond(region):
    weights = blend_weights(region, SPACING_MM, 4.0)
    assert (weights[~region] == 0).all()
    line = weights[8, 12, 4:14]  # from outside inwards along the width, a voxel a mm
    assert (np.diff(line) >= 0).all()
    assert line[0] == 0
    assert 0 < line[1] < 0.1
    assert 0.9 < line[4] < 1
    assert (line[5:] == 1).all()
    assert (blend_weights(region, SPACING_MM, 0.0)[region] == 1).all()
    assert (blend_weights(np.ones(SHAPE, bool), SPACING_MM, 4.0) == 1).all()


def test_the_edge_of_the_array_is_no_border(region):
    region[:8] = True
    assert blend_weights(region, SPACING_MM, 4.0)[0, 12, 12] == 1


def test_values_come_through_a_transform_and_nothing_comes_from_beyond(region):
    before = CTVolume(np.zeros(SHAPE, np.int16), AFFINE)
    shifted = AFFINE.copy()
    shifted[0, 3] += 100.0  # the made volume lies 100 mm further left
    made = CTVolume(np.full(SHAPE, 500, np.int16), shifted)
    assert not insert(before, made, region, None, blend_mm=0.0).hu.any()
    to_made = np.eye(4)
    to_made[0, 3] = 100.0
    assert (insert(before, made, region, to_made, blend_mm=0.0).hu[region] == 500).all()


def test_values_that_the_type_cannot_hold_are_clipped(region):
    before = CTVolume(np.full(SHAPE, 100, np.uint8), AFFINE)
    made = CTVolume(np.full(SHAPE, -900, np.int16), AFFINE)
    assert (insert(before, made, region, None, blend_mm=0.0).hu[region] == 0).all()


def test_a_step_at_the_border_is_a_seam_and_noise_is_none(region):
    hu = np.random.default_rng(0).normal(0, 10, SHAPE)
    assert measure_seam(hu, region).ratio == pytest.approx(1, abs=0.1)
    seam = measure_seam(np.where(region, hu + 200, hu), region)
    assert seam.across_hu == pytest.approx(200, abs=5)
    assert seam.within_hu == pytest.approx(seam.around_hu, rel=0.1)
