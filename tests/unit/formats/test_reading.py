import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import CaseError
from medsyn2.formats import open_volume, read_ct, read_labels, read_mask, write_ct, write_labels
from tests.series import counted, series_affine, write_series

VOLUME = CTVolume(counted(), series_affine())
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_volume_comes_back_from_each_format_and_is_the_same_for_itk(tmp_path, suffix):
    path = tmp_path / f"ct{suffix}"
    write_ct(path, VOLUME, description="SYNTHETIC test")
    read = read_ct(path)
    np.testing.assert_array_equal(read.hu, VOLUME.hu)
    np.testing.assert_allclose(read.affine_mm, VOLUME.affine_mm, atol=1e-5)
    assert open_volume(path).is_synthetic
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VOLUME.hu)
    np.testing.assert_allclose(image.GetOrigin(), VOLUME.affine_mm[:3, 3], atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing(), VOLUME.spacing_mm[::-1], rtol=1e-6)
    content = path.read_bytes()
    write_ct(path, VOLUME, description="SYNTHETIC test")
    assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("compressed", [False, True])
def test_oblique_files_of_itk_are_read_as_itk_reads_them(tmp_path, suffix, compressed):
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = VOLUME.affine_mm.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    image = sitk.GetImageFromArray(VOLUME.hu.astype(np.float32) + 0.5)
    image.SetSpacing(VOLUME.spacing_mm[::-1])
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, 2::-1] / VOLUME.spacing_mm[::-1]).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"), compressed)
    read = read_ct(tmp_path / f"ct{suffix}")
    np.testing.assert_array_equal(read.hu, VOLUME.hu.astype(np.float32) + 0.5)
    np.testing.assert_allclose(read.affine_mm, affine, atol=1e-9)


def test_labels_and_masks_come_back_from_each_format(tmp_path):
    labels = LabelMap((VOLUME.hu > -800).astype(np.uint8), VOLUME.affine_mm)
    for suffix in SUFFIXES:
        write_labels(tmp_path / f"mask{suffix}", labels, description="SYNTHETIC")
        assert np.array_equal(read_labels(tmp_path / f"mask{suffix}").labels, labels.labels)
        assert np.array_equal(read_mask(tmp_path / f"mask{suffix}")[0].labels, labels.labels != 0)


@pytest.mark.parametrize("place", ["folder", "slice", "slice without a suffix"])
def test_a_folder_of_slices_or_one_of_them_is_a_volume(tmp_path, place):
    hu = write_series(tmp_path / "ct", name="IM{:d}" if place.endswith("suffix") else "{:04d}.dcm")
    read = read_ct(tmp_path / "ct" if place == "folder" else min((tmp_path / "ct").iterdir()))
    np.testing.assert_array_equal(read.hu, hu)
    np.testing.assert_allclose(read.affine_mm, series_affine(), atol=1e-4)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def _more(path):
    path.write_bytes(path.read_bytes() + bytes(9))


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-60] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("harm", [_cut, _flip])
def test_damage_that_itk_reads_in_silence_is_refused(tmp_path, suffix, harm):
    path = tmp_path / f"ct{suffix}"
    write_ct(path, VOLUME)
    harm(path)
    with pytest.raises(CaseError) as caught:
        read_ct(path)
    assert caught.value.code in ("gzip-truncated", "gzip-corrupt", "volume-truncated")


@pytest.mark.parametrize(("harm", "code"), [(_cut, "volume-truncated"), (_more, "volume-trailing-bytes")])
def test_uncompressed_voxels_are_counted(tmp_path, harm, code):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME.hu), str(path), False)
    harm(path)
    with pytest.raises(CaseError) as caught:
        read_ct(path)
    assert caught.value.code == code


MHD = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 2\n"
NHDR = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
ORIENTED = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (1,2,3)\n"
HEADERS = {
    "volume-data-missing": ("a.mhd", MHD + "ElementDataFile = gone.raw\n"),
    "volume-data-elsewhere": ("a.mhd", MHD + "ElementDataFile = ../a.raw\n"),
    "header-truncated": ("a.mhd", "ObjectType = Image\n"),
    "volume-flat": ("a.mhd", MHD.replace("4 4 4", "4 4 1") + "ElementDataFile = a.raw\n"),
    "volume-rank": ("a.nhdr", NHDR.replace("4 4 4", "4 4 2 2") + ORIENTED + "data file: a.raw\n"),
    "volume-too-large": ("a.nhdr", NHDR.replace("4 4 4", "9000 4 4") + ORIENTED + "data file: a.raw\n"),
    "volume-encoding": ("a.nhdr", NHDR.replace("raw", "hex") + ORIENTED + "data file: a.raw\n"),
    "volume-rgb": ("a.nhdr", NHDR + ORIENTED + "kinds: RGB-color domain domain\ndata file: a.raw\n"),
    "affine-missing": ("a.nhdr", NHDR + "spacings: 1 1 2\ndata file: a.raw\n"),
    "file-empty": ("a.nrrd", ""),
}


@pytest.mark.parametrize("code", HEADERS)
def test_each_header_that_cannot_be_read_has_its_code(tmp_path, code):
    name, text = HEADERS[code]
    (tmp_path / name).write_text(text)
    (tmp_path / "a.raw").write_bytes(bytes(64))
    with pytest.raises(CaseError) as caught:
        read_ct(tmp_path / name)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{name}: expected ")


def test_a_stream_that_inflates_without_end_takes_no_more_memory_than_the_header_says(tmp_path):
    path = tmp_path / "a.mha"
    header = MHD + "CompressedData = True\nElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + zlib.compress(bytes(1 << 26)))
    with pytest.raises(CaseError) as caught:
        read_ct(path)
    assert caught.value.code == "volume-trailing-bytes"


def test_nrrd_of_ras_becomes_lps(tmp_path):
    ras = ORIENTED.replace("LPS", "right-anterior-superior")
    (tmp_path / "a.nhdr").write_text(NHDR + ras + "data file: a.raw\n")
    (tmp_path / "a.raw").write_bytes(bytes(range(64)))
    image = sitk.ReadImage(str(tmp_path / "a.nhdr"))
    read = open_volume(tmp_path / "a.nhdr")
    affine, _ = read.affine()
    np.testing.assert_allclose(affine[:3, 3], image.GetOrigin())
    direction = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    np.testing.assert_allclose(affine[:3, :3], direction)
