from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import RLELossless

from medsyn2.ct.geometry import canonical
from medsyn2.dicom.volume import open_series
from tests.series import counted, oblique_affine, series_affine, write_series

HU, AFFINE = counted(), series_affine()


def read(path: Path, **options: object) -> tuple[np.ndarray, np.ndarray]:
    file = open_series(path, **options)
    volume = file.read_ct()
    return volume.hu, volume.affine_mm


def by_itk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the largest series of a folder as ITK orders and places it, in canonical axes."""
    reader = sitk.ImageSeriesReader()
    lists = [reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in reader.GetGDCMSeriesIDs(str(folder))]
    reader.SetFileNames(max(lists, key=len))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return canonical(sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine)


def downwards() -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 0] *= -1
    return affine


def prone() -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 1:3] *= -1
    return affine


@pytest.mark.parametrize("make", [series_affine, oblique_affine, downwards, prone])
def test_voxels_and_place_are_those_of_itk(tmp_path, make):
    write_series(tmp_path / "a", affine_mm=make())
    hu, affine = read(tmp_path / "a")
    expected_hu, expected_affine = by_itk(tmp_path / "a")
    np.testing.assert_array_equal(hu, expected_hu)
    np.testing.assert_allclose(affine, expected_affine, atol=2e-5)
    assert hu.dtype == np.int16


def _rle(dataset: Dataset, index: int) -> None:
    dataset.compress(RLELossless)


def _jpeg_ls(dataset: Dataset, index: int) -> None:
    dataset.compress("1.2.840.10008.1.2.4.80")


def _deflate(dataset: Dataset, index: int) -> None:
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"


def _implicit(dataset: Dataset, index: int) -> None:
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"


def _signed(dataset: Dataset, index: int) -> None:
    stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.int32) - 1024
    dataset.PixelRepresentation, dataset.RescaleIntercept = 1, "0"
    dataset.PixelData = stored.astype("<i2").tobytes()


def _varying_rescale(dataset: Dataset, index: int) -> None:
    stored = np.frombuffer(dataset.PixelData, "<u2") * 2
    dataset.PixelData, dataset.RescaleSlope = stored.astype("<u2").tobytes(), "0.5"
    if index % 2:
        dataset.RescaleIntercept, dataset.RescaleSlope = "-1034", "0.5"
        dataset.PixelData = (stored + 20).astype("<u2").tobytes()


def _no_acquisition(dataset: Dataset, index: int) -> None:
    del dataset.AcquisitionNumber
    dataset.InstanceNumber = None


def _commas(dataset: Dataset, index: int) -> None:
    dataset.add_new(0x00180060, "LO", "120,0")  # KVP as text with a comma
    dataset.add_new(0x00200012, "LO", "")


WRITTEN = {
    "RLE": _rle,
    "JPEG-LS": _jpeg_ls,
    "deflated": _deflate,
    "implicit": _implicit,
    "signed": _signed,
    "varying rescale": _varying_rescale,
    "no numbers": _no_acquisition,
    "text for numbers": _commas,
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_voxels_come_back_however_they_were_stored(tmp_path, kind):
    write_series(tmp_path / "a", change=WRITTEN[kind])
    hu, affine = read(tmp_path / "a")
    np.testing.assert_array_equal(hu, HU)
    np.testing.assert_allclose(affine, AFFINE, atol=2e-5)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_other_compressions_are_decoded(tmp_path, compressor):
    write_series(tmp_path / "a")
    for path in sorted((tmp_path / "a").iterdir()):
        source = sitk.ReadImage(str(path))
        image = sitk.Cast(source + 1024, sitk.sitkUInt16)
        for key in source.GetMetaDataKeys():
            image.SetMetaData(key, "0" if key == "0028|1052" else source.GetMetaData(key))
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(path))
        writer.Execute(image)
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU + 1024)


NAMES = {
    "reversed": lambda index: f"{99 - index:04d}.dcm",
    "no suffix": lambda index: f"IM{index:06d}",
    "UIDs": lambda index: f"1.2.840.113619.{index}",
    "not UTF-8-like": lambda index: f"séries é {index} (1).IMA",
    "capitals": lambda index: f"I{index}.DCM",
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_files_say_nothing(tmp_path, kind):
    write_series(tmp_path / "a")
    for index, path in enumerate(sorted((tmp_path / "a").iterdir())):
        path.rename(path.with_name(NAMES[kind](index)))
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"no slice")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"no slice")
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU)


def _dated(dataset: Dataset, index: int) -> None:
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20200101", "120000", "1", ""


def test_a_medium_with_a_directory_and_folders_is_read(tmp_path):
    write_series(tmp_path / "a", change=_dated)
    files = FileSet()
    for path in (tmp_path / "a").iterdir():
        files.add(path)
    files.write(tmp_path / "medium")
    assert (tmp_path / "medium/DICOMDIR").is_file()
    np.testing.assert_array_equal(read(tmp_path / "medium")[0], HU)


def test_a_file_that_says_that_it_is_synthetic_is_known_as_such(tmp_path):
    write_series(tmp_path / "a", change=lambda dataset, index: setattr(dataset, "SyntheticData", "YES"))
    assert open_series(tmp_path / "a").is_synthetic
