"""Files of many layouts, copied with one voxel changed."""

import nibabel as nib
import numpy as np
import pytest

from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.nifti.storage import open_storage
from medsyn2.facts import HuScale

HU = HuScale("hu", 1.0, 0.0, None)


def write(path, dtype, *, axes="LPS", scaling=(None, None), version=nib.Nifti1Image):
    values = np.random.default_rng(0).integers(-100, 100, (9, 8, 7)).astype(dtype)
    codes = nib.orientations.axcodes2ornt(axes)
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) @ nib.orientations.inv_ornt_aff(codes, (9, 8, 7))
    image = version(values, affine)
    image.header.set_slope_inter(*scaling)
    nib.save(image, path)
    return values if scaling[0] is None else values * scaling[0] + scaling[1]


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (np.int16, {}),
        (np.int16, {"axes": "RAS"}),
        (np.int16, {"axes": "SLA"}),
        (np.float32, {"axes": "PIR"}),
        (np.float64, {}),
        (np.int32, {"version": nib.Nifti2Image}),
        (">i2", {"axes": "LAS"}),
    ],
)
def test_one_voxel_changes_and_all_else_is_stored_as_before(tmp_path, dtype, options):
    path, target = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    write(path, dtype, **options)
    ct = read_ct(path)
    hu, changed = ct.hu.copy(), np.zeros(ct.shape, bool)
    hu[1, 2, 3], changed[1, 2, 3] = 321, True
    open_storage(path).write_changed(target, hu, changed, HU, description="changed")
    before, after = nib.load(path), nib.load(target)
    assert after.get_data_dtype().newbyteorder("=") == before.get_data_dtype().newbyteorder("=")
    np.testing.assert_array_equal(after.affine, before.affine)
    different = np.asarray(before.dataobj) != np.asarray(after.dataobj)
    assert different.sum() == 1
    assert np.asarray(after.dataobj)[different] == 321
    np.testing.assert_array_equal(read_ct(target).hu, hu)
    assert after.header["descrip"].item() == b"changed"


def test_scaling_and_units_are_undone_and_slices_are_counted(tmp_path):
    path, target = tmp_path / "a.nii", tmp_path / "b.nii"
    write(path, np.int16, scaling=(2.0, -1000.0))
    ct = read_ct(path)
    part, changed = ct.hu[2:5].copy(), np.zeros((3, *ct.shape[1:]), bool)
    part[0, 0, 0], changed[0, 0, 0] = -400 - 24, True  # in HU, which are the file's values less 24
    open_storage(path).write_changed(target, part, changed, HuScale("stored", 1.0, -24.0, None), first_slice=2)
    after = read_ct(target)
    assert after.hu[2, 0, 0] == -400
    assert (after.hu != ct.hu).sum() == 1
    raw = nib.load(target).dataobj.get_unscaled()
    assert (raw != nib.load(path).dataobj.get_unscaled()).sum() == 1


def test_a_mask_lies_on_the_file_s_axes(tmp_path):
    path, target = tmp_path / "a.nii.gz", tmp_path / "m.nii.gz"
    write(path, np.int16, axes="RSA")
    ct = read_ct(path)
    mask = ct.hu > 50
    open_storage(path).write_mask(target, mask)
    np.testing.assert_array_equal(np.asarray(nib.load(target).dataobj) == 1, np.asarray(nib.load(path).dataobj) > 50)
