import nibabel as nib
import numpy as np
import pytest

from medsyn2.ct.binary_mask import binarize, mask_of, mask_to_grid
from medsyn2.ct.nifti.files import open_nifti, write_ct
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import MaskError

GRID = Grid((16, 24, 24), axis_aligned_affine((4.0, 3.0, 3.0), (-30.0, -30.0, -30.0)))


def ball(grid, centre_mm, radius_mm):
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    world = index @ grid.affine_mm[:3, :3].T + grid.affine_mm[:3, 3]
    return LabelMap(np.linalg.norm(world - centre_mm, axis=-1) < radius_mm, grid.affine_mm)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_zero_and_one_are_taken_as_they_are(dtype):
    inside = np.arange(24).reshape(2, 3, 4) % 3 == 0
    found, notes = binarize(inside.astype(dtype), "mask")
    np.testing.assert_array_equal(found, inside)
    assert notes == ()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255, 255, 0], [0, 1, 1, 0]),
        ([0.0, 0.2, 0.6, 1.0], [0, 0, 1, 1]),
        (list(range(0, 256, 15)), [0] * 9 + [1] * 9),
        ([7, 7, 7, 7], [1, 1, 1, 1]),
    ],
)
def test_other_ways_of_saying_it_are_read_and_noted(values, expected):
    found, notes = binarize(np.array(values).reshape(1, 1, -1), "soft.nii")
    assert found.ravel().tolist() == [bool(value) for value in expected]
    assert len(notes) == 1
    assert "soft.nii" in notes[0]


@pytest.mark.parametrize("values", [[0, 1, 2], [-1000, 40], [0.0, np.nan], [0, np.inf], [-1, 0]])
def test_images_label_maps_and_broken_values_are_refused(values):
    with pytest.raises(MaskError):
        binarize(np.array(values).reshape(1, 1, -1), "mask")


def test_a_mask_on_the_grid_stays_as_it_is():
    mask = ball(GRID, (0, 0, 0), 12)
    found, notes = mask_to_grid(mask, GRID)
    np.testing.assert_array_equal(found, mask.labels)
    assert notes == ()


def test_a_mask_on_another_grid_comes_to_the_same_place_in_space():
    fine = Grid((60, 70, 80), axis_aligned_affine((1.0, 1.1, 1.2), (-45.0, -40.0, -28.0)))
    found, notes = mask_to_grid(ball(fine, (5, 3, -4), 14), GRID)
    expected = ball(GRID, (5, 3, -4), 14).labels
    dice = 2 * (found & expected).sum() / (found.sum() + expected.sum())
    assert dice > 0.97
    assert "60 x 70 x 80" in notes[0]


def test_the_part_outside_the_grid_is_noted():
    wide = Grid((40, 40, 40), axis_aligned_affine((4.0, 4.0, 4.0), (-80.0, -80.0, -80.0)))
    _, notes = mask_to_grid(ball(wide, (-30, 0, 0), 15), GRID)
    assert any("lie outside" in note for note in notes)


def test_an_empty_mask_is_allowed():
    found, _ = mask_to_grid(LabelMap(np.zeros(GRID.shape, np.uint8), GRID.affine_mm), GRID)
    assert not found.any()
    found, notes = mask_to_grid(LabelMap(np.zeros((4, 4, 4), np.uint8), np.eye(4)), GRID)
    assert found.shape == GRID.shape
    assert not found.any()
    assert "empty" in notes[0]


def test_a_full_mask_and_one_elsewhere_are_refused():
    with pytest.raises(MaskError, match="background") as caught:
        mask_to_grid(LabelMap(np.ones(GRID.shape, np.uint8), GRID.affine_mm), GRID)
    assert caught.value.code == "mask-full"
    far = Grid(GRID.shape, axis_aligned_affine((4.0, 3.0, 3.0), (500.0, 500.0, 500.0)))
    with pytest.raises(MaskError) as caught:
        mask_to_grid(ball(far, (530, 530, 530), 12), GRID)
    assert caught.value.code == "mask-outside-grid"
    large = Grid((40, 40, 40), axis_aligned_affine((9.0, 9.0, 9.0), (-180.0, -180.0, -180.0)))
    with pytest.raises(MaskError) as caught:
        mask_to_grid(ball(large, (0, 0, 0), 170), GRID)
    assert caught.value.code == "mask-full"


def test_a_file_of_zero_and_255_is_read_with_its_place_in_space(tmp_path):
    mask = ball(GRID, (4, 0, 0), 12)
    write_ct(tmp_path / "mask.nii.gz", CTVolume(mask.labels.astype(np.int16) * 255, mask.affine_mm))
    read, notes = mask_of(open_nifti(tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(read.labels, mask.labels)
    np.testing.assert_allclose(read.affine_mm, mask.affine_mm, atol=1e-5)
    assert any("255" in note for note in notes)


def test_numbered_pieces_are_one_mask_and_labels_that_touch_are_refused():
    values = np.zeros((12, 12, 12), np.uint8)
    values[2:10, 2:10, 1:5], values[2:10, 2:10, 7:11] = 1, 2
    found, notes = binarize(values, "lungs.nii")
    np.testing.assert_array_equal(found, values > 0)
    assert "the labels 1, 2" in notes[0]
    values[2:10, 2:10, 5:7] = 2
    with pytest.raises(MaskError):
        binarize(values, "lobes.nii")


@pytest.mark.parametrize("signs", [(1, 1), (-1, -1)])
def test_the_identity_is_no_place_in_space(tmp_path, signs):
    mask = ball(GRID, (4, 9, 2), 12)
    affine = np.diag([*signs, 1.0, 1.0])
    nib.save(nib.Nifti1Image(mask.labels.astype(np.uint8).T, affine), tmp_path / "mask.nii.gz")
    read, _ = mask_of(open_nifti(tmp_path / "mask.nii.gz"))
    found, notes = mask_to_grid(read, GRID)
    np.testing.assert_array_equal(found, mask.labels)
    assert "voxel by voxel" in notes[0]
    other = Grid((17, 24, 24), GRID.affine_mm)
    with pytest.raises(MaskError) as caught:
        mask_to_grid(read, other)
    assert caught.value.code == "affine-identity"


def test_a_mask_that_lies_mostly_elsewhere_is_refused():
    wide = Grid((40, 40, 40), axis_aligned_affine((4.0, 4.0, 4.0), (-80.0, -80.0, -80.0)))
    with pytest.raises(MaskError) as caught:
        mask_to_grid(ball(wide, (-42, 0, 0), 15), GRID)
    assert caught.value.code == "mask-outside-grid"
