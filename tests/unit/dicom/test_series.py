import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medsyn2.dicom.volume import find_series, open_series
from medsyn2.errors import CaseError
from tests.series import capture, counted, derived, localizer, mip, report, series_affine, write_series

HU, AFFINE = counted(), series_affine()


def read(path: Path, **options: object) -> tuple[np.ndarray, np.ndarray]:
    volume = open_series(path, **options).read_ct()
    return volume.hu, volume.affine_mm


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study as a scanner sends it: a localiser, two reconstructions, a derived one, a MIP, a capture and a report."""
    folder = tmp_path_factory.mktemp("study")
    thick = HU[::2]
    coarse = AFFINE.copy()
    coarse[:3, 0] *= 2
    for number, (change, hu, affine) in enumerate(
        [
            (localizer, HU[:2], AFFINE),
            (None, HU, AFFINE),
            (None, thick, coarse),
            (derived, counted((9, 8, 10)), AFFINE),
            (mip, counted((12, 8, 10)), AFFINE),
            (capture, HU[:1], AFFINE),
            (report, HU[:1], AFFINE),
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
    write_series(tmp_path / "a", change=derived)
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
