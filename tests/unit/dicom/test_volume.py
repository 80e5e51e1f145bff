import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, RLELossless

from medsyn2.ct.geometry import canonical
from medsyn2.dicom.volume import find_series, open_series
from medsyn2.errors import CaseError
from tests.series import counted, ct_slice, oblique_affine, series_affine, write_series

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


def _localizer(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]


def _derived(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]


def _mip(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL", "MIP"]


def _capture(dataset: Dataset, index: int) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"


def _report(dataset: Dataset, index: int) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.Modality = "SR"
    del dataset.PixelData, dataset.Rows, dataset.Columns


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study as a scanner sends it: a localiser, two reconstructions, a derived one, a MIP, a capture and a report."""
    folder = tmp_path_factory.mktemp("study")
    thick = HU[::2]
    coarse = AFFINE.copy()
    coarse[:3, 0] *= 2
    for number, (change, hu, affine) in enumerate(
        [
            (_localizer, HU[:2], AFFINE),
            (None, HU, AFFINE),
            (None, thick, coarse),
            (_derived, counted((9, 8, 10)), AFFINE),
            (_mip, counted((12, 8, 10)), AFFINE),
            (_capture, HU[:1], AFFINE),
            (_report, HU[:1], AFFINE),
        ],
        1,
    ):
        series = f"1.2.3.{number}"
        write_series(folder, hu, affine, series=series, change=change, name=f"{number}-{{}}.dcm")
    return folder


def test_the_largest_original_series_of_a_study_is_taken(study):
    file = open_series(study)
    np.testing.assert_array_equal(file.read_ct().hu, HU)
    assert any("the largest was taken" in note for note in file.notes)


def test_another_rule_or_a_file_chooses_another_series(study, tmp_path):
    assert [len(stack.slices) for stack in find_series(study, "thinnest").stacks] == [6, 3, 9]
    np.testing.assert_array_equal(read(study / "3-0.dcm")[0], HU[::2])
    chosen = find_series(study).stacks[1]
    np.testing.assert_array_equal(read(study, series=chosen.id)[0], HU[::2])
    for code, options in {"file-changed": {"series": "gone"}, "dicom-several-series": {"rule": "only"}}.items():
        with pytest.raises(CaseError) as caught:
            open_series(study, **options)
        assert caught.value.code == code


def test_a_derived_series_is_taken_where_there_is_no_other(tmp_path):
    write_series(tmp_path / "a", change=_derived)
    file = open_series(tmp_path / "a")
    np.testing.assert_array_equal(file.values.transpose(2, 1, 0), HU)
    assert any("derived" in note for note in file.notes)


@pytest.mark.parametrize(
    "attribute", ["AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "TriggerTime"]
)
def test_acquisitions_of_one_series_are_told_apart(tmp_path, attribute):
    for value in (1, 2):

        def number(dataset: Dataset, index: int, value: int = value) -> None:
            setattr(dataset, attribute, f"B{value}0f" if attribute == "ConvolutionKernel" else value)
            dataset.SOPInstanceUID += f".{value}"

        write_series(tmp_path / "a", HU + 100 * value, change=number, name=f"{value}-{{}}.dcm")
    assert len(find_series(tmp_path / "a").stacks) == 2
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU + 100)


def test_an_acquisition_number_of_each_slice_divides_no_volume(tmp_path):
    write_series(tmp_path / "a", change=lambda dataset, index: setattr(dataset, "AcquisitionNumber", index + 1))
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU)


def test_the_same_slices_twice_count_once(tmp_path):
    write_series(tmp_path / "a")
    for path in list((tmp_path / "a").iterdir()):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    file = open_series(tmp_path / "a")
    np.testing.assert_array_equal(file.read_ct().hu, HU)
    assert any("6 slices were there twice" in note for note in file.notes)


def test_a_slice_sent_again_under_another_uid_counts_once_if_its_pixels_are_equal(tmp_path):
    write_series(tmp_path / "a")
    again = {"change": lambda dataset, index: setattr(dataset, "SOPInstanceUID", "1.9"), "only": [3], "name": "b{}.dcm"}
    write_series(tmp_path / "a", **again)
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU)
    write_series(tmp_path / "a", HU + 7, **again)
    with pytest.raises(CaseError) as caught:
        open_series(tmp_path / "a")
    assert caught.value.code == "dicom-slices-repeated"


def test_rounded_positions_are_even_steps(tmp_path):
    affine = series_affine((0.625, 0.7, 0.7))

    def round_position(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [f"{float(value):.1f}" for value in dataset.ImagePositionPatient]

    write_series(tmp_path / "a", affine_mm=affine, change=round_position)
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU)


def _tilt(dataset: Dataset, index: int) -> None:
    position = [float(value) for value in dataset.ImagePositionPatient]
    dataset.ImagePositionPatient = [position[0], position[1] + 0.7 * index, position[2]]


def _no_position(dataset: Dataset, index: int) -> None:
    del dataset.ImagePositionPatient


def _no_orientation(dataset: Dataset, index: int) -> None:
    del dataset.ImageOrientationPatient


def _thicker_below(dataset: Dataset, index: int) -> None:
    position = [float(value) for value in dataset.ImagePositionPatient]
    dataset.ImagePositionPatient = [*position[:2], position[2] + max(index - 3, 0) * 1.0]


def _cut_pixels(folder: Path) -> None:
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-60])


def _write(**options: object):
    return lambda folder: write_series(folder, **options)


def _mixed(**options: object):
    def write(folder: Path) -> None:
        write_series(folder)
        write_series(folder, name="b{}.dcm", **options)

    return write


def _damaged(folder: Path) -> None:
    write_series(folder)
    _cut_pixels(folder)


REFUSED = {
    "dicom-slices-missing": _write(only=[0, 1, 2, 4, 5]),
    "dicom-spacing-varies": _write(change=_thicker_below),
    "dicom-gantry-tilt": _write(change=_tilt),
    "dicom-no-position": _write(change=_no_position),
    "dicom-several-patients": _mixed(patient="P2", study="1.7", series="1.7.1"),
    "dicom-several-studies": _mixed(study="1.7", series="1.7.1"),
    "dicom-no-ct": _write(change=_report),
    "dicom-not-slices": _write(change=_localizer),
    "volume-flat": _write(only=[0]),
    "dicom-damaged": _damaged,
}


@pytest.mark.parametrize("code", REFUSED)
def test_each_refusal_has_its_code_and_names_no_patient(tmp_path, code):
    REFUSED[code](tmp_path / "study")
    with pytest.raises(CaseError) as caught:
        open_series(tmp_path / "study")
    assert caught.value.code == code
    assert "expected" in caught.value.message
    assert caught.value.remedy
    assert not {"DOE", "P1", "P2", "1.2.3.4"} & set(str(caught.value).replace("^", " ").split())


def test_orientation_is_needed_as_much_as_a_position(tmp_path):
    write_series(tmp_path / "a", change=_no_orientation)
    with pytest.raises(CaseError) as caught:
        open_series(tmp_path / "a")
    assert caught.value.code == "dicom-no-position"


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


def test_a_file_that_says_that_it_is_synthetic_is_known_as_such(tmp_path):
    write_series(tmp_path / "a", change=lambda dataset, index: setattr(dataset, "SyntheticData", "YES"))
    assert open_series(tmp_path / "a").is_synthetic
