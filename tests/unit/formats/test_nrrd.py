import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.volume import CTVolume
from medsyn2.formats import open_volume, read_ct
from tests.series import counted, series_affine

VOLUME = CTVolume(counted(), series_affine())
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


MHD = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 2\n"
NHDR = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
ORIENTED = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (1,2,3)\n"


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
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


def test_nrrd_of_ras_becomes_lps(tmp_path):
    ras = ORIENTED.replace("LPS", "right-anterior-superior")
    (tmp_path / "a.nhdr").write_text(NHDR + ras + "data file: a.raw\n", encoding="utf-8")
    (tmp_path / "a.raw").write_bytes(bytes(range(64)))
    image = sitk.ReadImage(str(tmp_path / "a.nhdr"))
    read = open_volume(tmp_path / "a.nhdr")
    affine, _ = read.affine()
    np.testing.assert_allclose(affine[:3, 3], image.GetOrigin())
    direction = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    np.testing.assert_allclose(affine[:3, :3], direction)
