import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.volume import CTVolume
from medsyn2.formats import read_ct
from tests.series import counted, series_affine

VOLUME = CTVolume(counted(), series_affine())
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
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
