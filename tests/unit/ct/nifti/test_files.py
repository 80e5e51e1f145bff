import gzip
import itertools
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from medsyn2.ct.nifti.files import open_nifti, read_ct, read_labels, write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import InvalidVolumeError, MaskError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


ORIENTATIONS = [
    (order, flips) for order in itertools.permutations(range(3)) for flips in itertools.product((1, -1), repeat=3)
]


def asymmetric(shape=(6, 7, 9)):
    """Every voxel has its own value, so that any mix-up of axes or sides shows."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 1000


def oblique_affine(degrees):
    affine = axis_aligned_affine((2.5, 0.8, 0.7), (-31.0, 12.0, -250.0))
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    return affine


def stored_as(hu, affine_mm, order, flips):
    """Return the array and the RAS affine of the same volume with its axes permuted and flipped."""
    to_canonical = np.zeros((4, 4))
    to_canonical[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        to_canonical[source, axis] = flip
        if flip < 0:
            to_canonical[source, 3] = hu.shape[source] - 1
    steps = tuple(slice(None, None, flip) for flip in flips)
    return hu.transpose(order)[steps], RAS_TO_LPS @ affine_mm @ to_canonical


@pytest.mark.parametrize("degrees", [(0, 0, 0), (3, -7, 11), (-18, 14, 20)])
def test_all_48_orientations_give_the_same_canonical_volume(tmp_path, degrees):
    hu, affine = asymmetric(), oblique_affine(degrees)
    for order, flips in ORIENTATIONS:
        array, ras = stored_as(hu, affine, order, flips)
        image = nib.Nifti1Image(array, ras)
        image.set_qform(ras, 1)
        nib.save(image, tmp_path / "ct.nii.gz")
        volume = read_ct(tmp_path / "ct.nii.gz")
        assert np.array_equal(volume.hu, hu)
        assert np.abs(volume.affine_mm - affine).max() < 1e-4


def test_a_voxel_lies_where_nibabel_and_simpleitk_say(tmp_path):
    array, ras = stored_as(asymmetric(), oblique_affine((5, -9, 30)), (1, 2, 0), (-1, 1, -1))
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(array, ras), path)
    volume, image, itk = read_ct(path), nib.load(path), sitk.ReadImage(path)
    for index in ((0, 0, 0), (5, 2, 7), (1, 6, 3)):
        world = (volume.affine_mm @ (*index, 1))[:3]
        in_nibabel = np.linalg.inv(image.affine) @ RAS_TO_LPS @ (*world, 1)
        value = volume.hu[index]
        assert np.asanyarray(image.dataobj)[tuple(np.rint(in_nibabel[:3]).astype(int))] == value
        assert itk[itk.TransformPhysicalPointToIndex(world.tolist())] == value


def test_what_is_written_is_read_back_and_read_alike_by_others(tmp_path):
    volume = CTVolume(asymmetric(), oblique_affine((4, 8, -6)))
    write_ct(tmp_path / "ct.nii.gz", volume, description="a phantom")
    again = read_ct(tmp_path / "ct.nii.gz")
    assert again.hu.dtype == np.int16
    assert np.array_equal(again.hu, volume.hu)
    assert np.abs(again.affine_mm - volume.affine_mm).max() < 1e-4
    itk = sitk.ReadImage(tmp_path / "ct.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(itk), volume.hu)
    assert np.allclose(itk.TransformIndexToPhysicalPoint((3, 2, 1)), (volume.affine_mm @ (1, 2, 3, 1))[:3])
    header = nib.load(tmp_path / "ct.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert np.allclose(header.get_sform(), header.get_qform(), atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"
    assert bytes(header["descrip"]).rstrip(b"\0") == b"a phantom"


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii"])
def test_equal_volumes_give_equal_bytes(tmp_path, name):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_ct(tmp_path / folder / name, CTVolume(asymmetric(), oblique_affine((1, 2, 3))))
        os.utime(tmp_path / folder / name, (0, 0))
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_fractional_hu_stay_and_whole_floats_become_int16(tmp_path):
    affine = oblique_affine((0, 0, 0))
    write_ct(tmp_path / "ct.nii.gz", CTVolume(asymmetric() + np.float32(0.25), affine))
    assert read_ct(tmp_path / "ct.nii.gz").hu.dtype == np.float32
    write_ct(tmp_path / "ct.nii.gz", CTVolume(asymmetric().astype(np.float64), affine))
    assert read_ct(tmp_path / "ct.nii.gz").hu.dtype == np.int16


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4"])
def test_every_number_type_and_byte_order_is_read(tmp_path, dtype):
    values = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    array, ras = stored_as(values.astype(dtype), oblique_affine((0, 0, 0)), (2, 1, 0), (1, 1, 1))
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    nib.save(nib.Nifti1Image(array, ras, header, dtype=np.dtype(dtype)), tmp_path / "ct.nii.gz")
    volume = read_ct(tmp_path / "ct.nii.gz")
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, values)


def test_nifti_2_is_read(tmp_path):
    array, ras = stored_as(asymmetric(), oblique_affine((0, 0, 9)), (2, 1, 0), (1, 1, 1))
    nib.save(nib.Nifti2Image(array, ras), tmp_path / "ct.nii.gz")
    assert np.array_equal(read_ct(tmp_path / "ct.nii.gz").hu, asymmetric())


def test_header_scaling_is_applied_as_nibabel_does(tmp_path, header_of, content_of):
    array, ras = stored_as(asymmetric(), oblique_affine((0, 0, 0)), (2, 1, 0), (1, 1, 1))
    for slope, intercept in ((1.0, -1024.0), (2.0, 3.0), (0.5, -3.25)):
        header = header_of(array.shape)
        header.set_sform(ras, 1)
        header.set_qform(ras, 1)
        header["scl_slope"], header["scl_inter"] = slope, intercept
        path = tmp_path / "ct.nii.gz"
        path.write_bytes(gzip.compress(content_of(header, array.tobytes(order="F"))))
        expected = np.asanyarray(nib.load(path).dataobj).T
        assert np.allclose(read_ct(path).hu, expected, atol=1e-4)


def test_a_file_with_one_frame_is_a_volume(tmp_path):
    image = nib.Nifti1Image(np.arange(120, dtype=np.int16).reshape(4, 5, 6, 1), np.diag([2.0, 2, 2, 1]))
    nib.save(image, tmp_path / "ct.nii.gz")
    assert read_ct(tmp_path / "ct.nii.gz").shape == (6, 5, 4)
    assert "one frame" in open_nifti(tmp_path / "ct.nii.gz").notes[0]


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_an_unset_slope_means_no_scaling(tmp_path, slope, header_of, content_of):
    header = header_of()
    header["scl_slope"], header["scl_inter"] = slope, np.nan
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(content_of(header)))
    assert read_ct(tmp_path / "ct.nii.gz").hu.max() == 8 * 7 * 6 - 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    array = np.zeros((5, 5, 5), np.float32)
    array[1, 2, 3] = value
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2, 2, 1])), tmp_path / "ct.nii.gz")
    with pytest.raises(InvalidVolumeError, match="1 voxels"):
        read_ct(tmp_path / "ct.nii.gz")


def test_a_given_affine_stands_in_for_the_headers(tmp_path, header_of, content_of):
    header = header_of()
    header["sform_code"] = header["qform_code"] = 0
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(content_of(header)))
    volume = read_ct(tmp_path / "ct.nii.gz", affine_mm=np.diag([0.7, 0.7, 1.5, 1.0]))
    assert volume.shape == (6, 7, 8)
    assert np.allclose(volume.spacing_mm, (1.5, 0.7, 0.7))


def test_label_maps_keep_their_labels_names_and_place(tmp_path):
    labels = np.random.default_rng(1).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    names = {1: "a", 2: "b", 3: "c"}
    write_labels(tmp_path / "m.nii.gz", LabelMap(labels, oblique_affine((2, 3, 4)), names))
    again = read_labels(tmp_path / "m.nii.gz", names)
    assert again.labels.dtype == np.uint8
    assert np.array_equal(again.labels, labels)
    assert np.abs(again.affine_mm - oblique_affine((2, 3, 4))).max() < 1e-4
    assert again.names == names
    assert read_labels(tmp_path / "m.nii.gz").names == {1: "1", 2: "2", 3: "3"}


def test_a_mask_of_bools_comes_back_as_0_and_1(tmp_path):
    mask = np.zeros((300, 60, 60), bool)
    mask[100:120, 20:40, 20:40] = True
    write_labels(tmp_path / "m.nii.gz", LabelMap(mask, oblique_affine((0, 0, 0))))
    again = read_labels(tmp_path / "m.nii.gz")
    assert np.array_equal(again.binary("mask"), mask)


@pytest.mark.parametrize(
    ("values", "names", "code"),
    [
        (np.full((4, 4, 4), 0.5, np.float32), None, "labels-not-labels"),
        (np.full((4, 4, 4), -1, np.int16), None, "labels-not-labels"),
        (np.full((4, 4, 4), 7, np.uint8), {1: "lung"}, "labels-unknown"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path, values, names, code):
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2, 2, 1])), tmp_path / "m.nii.gz")
    with pytest.raises(MaskError, match=code):
        read_labels(tmp_path / "m.nii.gz", names)


def test_labels_that_do_not_fit_are_not_written(tmp_path):
    with pytest.raises(MaskError, match="labels-not-labels"):
        write_labels(tmp_path / "m.nii.gz", LabelMap(np.full((2, 2, 2), 256), np.eye(4)))


@pytest.mark.realdata
@pytest.mark.parametrize("folder", ["ct", "native", "labels"])
def test_real_files_agree_with_simpleitk(real_data, folder):
    for path in sorted((real_data / folder).glob("*.nii.gz")):
        itk = sitk.DICOMOrient(sitk.ReadImage(path), "LPS")
        if folder == "labels":
            read = read_labels(path)
            voxels, affine = read.labels, read.affine_mm
        else:
            read = read_ct(path)
            voxels, affine = read.hu, read.affine_mm
        assert np.array_equal(voxels, sitk.GetArrayViewFromImage(itk))
        corner = [n - 1 for n in voxels.shape]
        assert np.allclose((affine @ (*corner, 1))[:3], itk.TransformIndexToPhysicalPoint(corner[::-1]), atol=1e-3)
