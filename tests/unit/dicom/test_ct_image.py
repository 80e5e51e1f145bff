import dataclasses
import shutil
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from medsyn2.ct.volume import CTVolume
from medsyn2.dicom.ct_image import MadeBy, ct_datasets, uid_of
from medsyn2.dicom.writing import write_folder
from medsyn2.errors import GeometryError
from medsyn2.formats import open_volume
from tests.series import counted, oblique_affine, series_affine

MADE_BY = MadeBy("a" * 64, '{"report": "No effusion.", "seed": 1}', "seed 1")
VOLUME = CTVolume(counted(), series_affine())


@pytest.mark.parametrize("affine", [series_affine(), oblique_affine()])
def test_other_libraries_read_the_same_voxels_at_the_same_place(tmp_path, affine):
    volume = CTVolume(counted(), affine)
    write_folder(tmp_path / "out", volume, {}, MADE_BY)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.hu)
    np.testing.assert_allclose(image.GetOrigin(), affine[:3, 3], atol=1e-6)
    direction = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    np.testing.assert_allclose(direction, affine[:3, 2::-1], atol=1e-6)
    first = dcmread(min((tmp_path / "out").iterdir()))
    np.testing.assert_array_equal(first.pixel_array * first.RescaleSlope + first.RescaleIntercept, volume.hu[0])
    read = open_volume(tmp_path / "out")
    assert read.is_synthetic
    np.testing.assert_array_equal(read.read_ct().hu, volume.hu)
    np.testing.assert_allclose(read.read_ct().affine_mm, affine, atol=1e-6)


def test_each_slice_says_that_it_is_synthetic_and_names_no_patient():
    for dataset in ct_datasets(VOLUME, MADE_BY):
        assert dataset.SyntheticData == "YES"
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        equipment = dataset.ContributingEquipmentSequence[0]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert MADE_BY.model in equipment.ContributionDescription
        assert "No effusion." in equipment.ContributionDescription
        assert str(dataset.PatientName).startswith("SYNTHETIC")
        assert dataset.PatientBirthDate == dataset.StudyDate == ""


def test_uids_are_of_the_root_for_all_and_follow_from_the_volume():
    slices, again = ct_datasets(VOLUME, MADE_BY), ct_datasets(VOLUME, MADE_BY)
    uids = [one.SOPInstanceUID for one in slices]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    assert slices == again
    other = ct_datasets(VOLUME, dataclasses.replace(MADE_BY, recipe="{}"))
    changed = ct_datasets(CTVolume(VOLUME.hu + 1, VOLUME.affine_mm), MADE_BY)
    series = {one[0].SeriesInstanceUID for one in (slices, other, changed)}
    assert len(series) == 3
    assert uid_of("a", 1) == uid_of("a", 1) != uid_of("a", 2)


def test_fractions_of_hu_are_rounded_and_sheared_axes_refused():
    dataset = ct_datasets(CTVolume(VOLUME.hu + 0.4, VOLUME.affine_mm), MADE_BY)[0]
    np.testing.assert_array_equal(dataset.pixel_array, VOLUME.hu[0])
    sheared = VOLUME.affine_mm.copy()
    sheared[1, 0] = 0.5
    with pytest.raises(GeometryError):
        ct_datasets(CTVolume(VOLUME.hu, sheared), MADE_BY)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy, of Debian's dicom3tools, is not installed")
def test_the_validator_finds_no_error_but_an_attribute_that_is_newer_than_it(tmp_path):
    mask = np.zeros(VOLUME.shape, bool)
    mask[2:4, 3:6, 3:6] = True
    write_folder(tmp_path / "out", VOLUME, {"lung nodules": mask}, MADE_BY)
    for path in (tmp_path / "out/CT0001.dcm", tmp_path / "out/SEG.dcm"):
        told = subprocess.run(["dciodvfy", path], capture_output=True, encoding="utf-8", check=False).stderr
        errors = [line.lower() for line in told.splitlines() if line.startswith("Error")]
        assert [line for line in errors if "0x0008,0x001c" not in line] == []
