import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.volume import CTVolume
from medsyn2.formats import open_volume, read_ct, write_ct
from tests.series import counted, series_affine

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


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_synthetic_volume_says_so_however_it_is_written(tmp_path, suffix):
    made = CTVolume(counted((4, 5, 6)), series_affine(), is_synthetic=True)
    write_ct(tmp_path / f"made{suffix}", made, description="by hand")
    assert open_volume(tmp_path / f"made{suffix}").description.startswith("SYNTHETIC by hand")
    assert read_ct(tmp_path / f"made{suffix}").is_synthetic
    made.save(tmp_path / "saved.nii.gz")
    assert read_ct(tmp_path / "saved.nii.gz").is_synthetic
    write_ct(tmp_path / f"real{suffix}", CTVolume(made.hu, made.affine_mm))
    assert not read_ct(tmp_path / f"real{suffix}").is_synthetic
