from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage

from medsyn2.dicom.volume import open_series
from tests.series import counted, ct_slice, series_affine

HU, AFFINE = counted(), series_affine()


def read(path: Path, **options: object) -> tuple[np.ndarray, np.ndarray]:
    volume = open_series(path, **options).read_ct()
    return volume.hu, volume.affine_mm


def enhanced(folder: Path, *, intercepts: tuple[float, ...] = (-1024.0,) * 6) -> None:
    """Write a CT of one file with a frame a slice, the last slice first."""
    folder.mkdir()
    file = ct_slice(HU[0], 0, AFFINE, patient="P1", study="1.2.3", series="1.2.3.4")
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    file.NumberOfFrames = len(HU)
    shared, frames = Dataset(), []
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = file.PixelSpacing, file.SliceThickness
    plane.ImageOrientationPatient = file.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    file.SharedFunctionalGroupsSequence = Sequence([shared])
    for index in reversed(range(len(HU))):
        frame, position, values = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [f"{value:.6g}" for value in AFFINE[:3, 3] + index * AFFINE[:3, 0]]
        values.RescaleIntercept, values.RescaleSlope, values.RescaleType = f"{intercepts[index]:g}", "1", "HU"
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([values])
        frames.append(frame)
    file.PerFrameFunctionalGroupsSequence = Sequence(frames)
    stored = [HU[index].astype(np.int32) - int(intercepts[index]) for index in reversed(range(len(HU)))]
    file.PixelData = np.stack(stored).astype("<u2").tobytes()
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept", "RescaleSlope"):
        delattr(file, name)
    file.save_as(folder / "enhanced.dcm", enforce_file_format=True)


@pytest.mark.parametrize("intercepts", [(-1024.0,) * 6, (-1024.0, -1034.0, -1024.0, -1044.0, -1024.0, -1025.0)])
def test_the_frames_of_an_enhanced_ct_are_slices(tmp_path, intercepts):
    enhanced(tmp_path / "a", intercepts=intercepts)
    hu, affine = read(tmp_path / "a")
    np.testing.assert_array_equal(hu, HU)
    np.testing.assert_allclose(affine, AFFINE, atol=2e-5)
