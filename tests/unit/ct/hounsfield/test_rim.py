import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct.hounsfield.padding import blank_slices
from medsyn2.ct.hounsfield.rim import rim_slices, rim_voxels


@pytest.mark.parametrize("padding", [-3024, 0, 3071])
def test_a_sharp_edge_has_no_rim(chest, outside, padding):
    padded = np.where(outside, np.int16(padding), chest)
    assert rim_voxels(padded, padding) == 0


@pytest.mark.parametrize("tissue_hu", [-60, 20, 60])
def test_tissue_of_nearly_the_padding_s_value_is_no_rim(tissue_hu):
    hu = np.zeros((16, 64, 72))
    hu[:, 12:-12, 12:-12] = tissue_hu
    hu[:, 16:-16, 16:-16] = -850
    hu[:, 12:-12, 12:-12] += np.random.default_rng(0).normal(0, 15, (16, 40, 48))
    assert rim_voxels(np.rint(hu).astype(np.int16), 0.0) == 0


def test_an_interpolation_leaves_a_rim_as_wide_as_its_kernel(chest, outside):
    padded = np.where(outside, np.int16(3071), chest)[:12].repeat(2, axis=1).repeat(2, axis=2).astype(np.float32)
    for order, shortest, longest in ((1, 1, 2), (3, 2, 10)):
        moved = np.rint(ndimage.shift(padded, (0, 0.5, 0.5), order=order, mode="nearest")).astype(np.int16)
        assert shortest <= rim_voxels(moved, 3071.0) <= longest


def test_finer_voxels_make_a_wider_rim(chest, outside):
    padded = np.where(outside, np.float32(3071), chest.astype(np.float32))[:12]
    fine = np.rint(ndimage.zoom(padded, (1, 3, 3), order=1)).astype(np.int16)
    assert 2 <= rim_voxels(fine, 3071.0) <= 5


def test_slices_beside_a_blank_one_are_counted_if_they_are_mixed_with_it(chest):
    sharp = np.concatenate([np.full((3, 64, 72), 3071, np.int16), chest])
    assert rim_slices(sharp, blank_slices(sharp), 3071.0) == 0
    mixed = sharp.copy()
    mixed[3] = 0.6 * sharp[3] + 0.4 * 3071
    mixed[4] = 0.8 * sharp[4] + 0.2 * 3071
    assert 1 <= rim_slices(mixed, blank_slices(mixed), 3071.0) <= 2
