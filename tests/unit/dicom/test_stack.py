from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medsyn2.dicom.volume import open_series
from medsyn2.errors import CaseError
from tests.series import counted, localizer, report, series_affine, write_series

HU, AFFINE = counted(), series_affine()


def read(path: Path, **options: object) -> tuple[np.ndarray, np.ndarray]:
    volume = open_series(path, **options).read_ct()
    return volume.hu, volume.affine_mm


def test_rounded_positions_are_even_steps(tmp_path):
    affine = series_affine((0.625, 0.7, 0.7))

    def round_position(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [f"{float(value):.1f}" for value in dataset.ImagePositionPatient]

    write_series(tmp_path / "a", affine_mm=affine, change=round_position)
    np.testing.assert_array_equal(read(tmp_path / "a")[0], HU)


def _lean(rows: float):
    """Move each slice by so many rows more than the one below it."""

    def change(dataset: Dataset, index: int) -> None:
        position = [float(value) for value in dataset.ImagePositionPatient]
        dataset.ImagePositionPatient = [position[0], f"{position[1] + 0.7 * rows * index:.6g}", position[2]]

    return change


@pytest.mark.parametrize("rows", [1, -1])
def test_slices_of_a_tilted_gantry_are_moved_upright(tmp_path, rows):
    write_series(tmp_path / "a", change=_lean(rows))
    series = open_series(tmp_path / "a")
    assert any("tilted by 15.6 degrees" in note for note in series.notes)
    volume = series.read_ct()
    expected = np.full((6, 13, 10), -1024, np.int16)
    for index, plane in enumerate(HU):
        first = index if rows > 0 else 5 - index
        expected[index, first : first + 8] = plane
    np.testing.assert_array_equal(volume.hu, expected)
    for index in range(6):  # each slice where its header says
        first = index if rows > 0 else 5 - index
        found = volume.affine_mm @ (index, first, 0, 1)
        told = series_affine() @ (index, 0, 0, 1) + (0, 0.7 * rows * index, 0, 0)
        np.testing.assert_allclose(found, told, atol=1e-6)


def test_half_a_row_is_the_mean_of_two(tmp_path):
    write_series(tmp_path / "a", change=_lean(0.5))
    hu = open_series(tmp_path / "a").read_ct().hu
    assert hu.shape == (6, 11, 10)
    np.testing.assert_array_equal(hu[1, 1:8], np.rint((HU[1, :-1].astype(float) + HU[1, 1:]) / 2))
    np.testing.assert_array_equal(hu[2, 1:9], HU[2])


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
    "dicom-gantry-tilt": _write(change=_lean(4)),
    "dicom-no-position": _write(change=_no_position),
    "dicom-several-patients": _mixed(patient="P2", study="1.7", series="1.7.1"),
    "dicom-several-studies": _mixed(study="1.7", series="1.7.1"),
    "dicom-no-ct": _write(change=report),
    "dicom-not-slices": _write(change=localizer),
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
