"""Other grids: voxels and masks keep their place, and what was never generated is air and said."""

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import ConfigError, MaskError
from medsyn2.pipeline.regrid import AIR_HU, check_grid, grid_of_file, grid_of_spacing, regrid, share_beyond

MODEL = Grid((16, 32, 32), axis_aligned_affine((4.0, 3.0, 3.0), (-48.0, -40.0, -30.0)))


def ramp(grid):
    """Make a volume whose HU are its x coordinate in mm, ten times."""
    x = grid.affine_mm[0, 2] * np.arange(grid.shape[2]) + grid.affine_mm[0, 3]
    return CTVolume(np.broadcast_to(np.rint(10 * x), grid.shape).astype(np.int16).copy(), grid.affine_mm)


def test_a_finer_spacing_keeps_the_box_and_every_place():
    grid = grid_of_spacing(MODEL, (1.0,))
    assert grid.shape == (64, 96, 96)
    assert share_beyond(grid, MODEL) == 0
    moved = regrid(ramp(MODEL), None, grid)
    inner = moved.volume.hu[4:-4, 4:-4, 4:-4]
    np.testing.assert_allclose(inner, ramp(grid).hu[4:-4, 4:-4, 4:-4], atol=1)


def test_three_spacings_and_a_remainder_are_at_most_a_voxel_more():
    grid = grid_of_spacing(MODEL, (5.0, 3.0, 7.0))
    assert grid.shape == (13, 32, 14)
    centre = [one.affine_mm[:3, :3] @ ((np.array(one.shape) - 1) / 2) + one.affine_mm[:3, 3] for one in (grid, MODEL)]
    np.testing.assert_allclose(*centre, atol=1e-9)


def test_beyond_the_model_is_air_and_its_share_is_known():
    twice = Grid((16, 32, 64), MODEL.affine_mm)
    moved = regrid(ramp(MODEL), np.ones(MODEL.shape, bool), twice)
    assert moved.padded_share == 0.5
    assert (moved.volume.hu[:, :, 33:] == AIR_HU).all()
    assert moved.mask[:, :, :32].mean() > 0.99
    assert not moved.mask[:, :, 33:].any()
    assert moved.to_json()["padded_percent"] == 50.0
    np.testing.assert_array_equal(moved.volume.hu[:, :, :32], ramp(MODEL).hu)


def test_the_volume_of_a_mask_stays():
    mask = np.zeros(MODEL.shape, bool)
    mask[4:10, 8:20, 6:18] = True
    grid = grid_of_spacing(MODEL, (2.0, 1.5, 1.5))
    moved = regrid(ramp(MODEL), mask, grid).mask
    assert moved.sum() * np.prod(grid.spacing_mm) == pytest.approx(mask.sum() * np.prod(MODEL.spacing_mm), rel=0.05)


def test_the_grid_of_a_file_is_that_of_a_ct_or_a_mask(tmp_path):
    write_ct(tmp_path / "ct.nii.gz", ramp(MODEL))
    write_labels(tmp_path / "mask.nii.gz", LabelMap(np.ones((3, 4, 5), np.uint8), MODEL.affine_mm))
    assert grid_of_file(tmp_path / "ct.nii.gz").shape == MODEL.shape
    assert grid_of_file(tmp_path / "mask.nii.gz").shape == (3, 4, 5)


@pytest.mark.parametrize("spacing", [(0.0,), (-1.0,), (float("nan"),), (1.0, 2.0), (700.0,)])
def test_no_spacing_of_a_ct_is_refused(spacing):
    with pytest.raises(ConfigError) as caught:
        grid_of_spacing(MODEL, spacing)
    assert caught.value.code == "spacing-invalid"


def test_a_grid_elsewhere_and_one_beyond_any_file_are_refused():
    away = MODEL.affine_mm.copy()
    away[:3, 3] += 1000
    for grid, kind, code in (
        (Grid((4, 4, 4), away), MaskError, "grid-elsewhere"),
        (Grid((3000, 3000, 3000), MODEL.affine_mm), ConfigError, "grid-too-large"),
    ):
        with pytest.raises(kind) as caught:
            check_grid(grid, MODEL)
        assert caught.value.code == code
