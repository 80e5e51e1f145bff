"""A zipped series is the series, and an archive cannot write elsewhere or fill the disk."""

import zipfile

import numpy as np
import pytest

from medsyn2.dicom import archive
from medsyn2.dicom.archive import open_archive, unpack
from medsyn2.errors import InvalidVolumeError
from medsyn2.formats import read_ct
from tests.series import write_series


@pytest.fixture
def zipped(tmp_path):
    write_series(tmp_path / "series")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for path in (tmp_path / "series").iterdir():
            made.write(path, f"../../{path.name}")
        made.writestr("readme.txt", "a scan")
    return tmp_path / "scan.zip"


def test_it_is_read_as_its_folder(zipped, tmp_path):
    expected, found = read_ct(tmp_path / "series"), read_ct(zipped)
    np.testing.assert_array_equal(found.hu, expected.hu)
    np.testing.assert_array_equal(found.affine_mm, expected.affine_mm)
    series = open_archive(zipped).stack.id
    assert open_archive(zipped, series=series).stack.id == series


def test_names_lead_nowhere(zipped, tmp_path):
    unpack(zipped, tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".dcm"}
    assert not list(tmp_path.glob("*.dcm"))


def test_damage_and_bombs_are_refused(zipped, tmp_path, monkeypatch):
    (tmp_path / "cut.zip").write_bytes(zipped.read_bytes()[:-200])
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    for path in (tmp_path / "cut.zip", zipped):
        with pytest.raises(InvalidVolumeError) as caught:
            read_ct(path)
        assert caught.value.code == "archive-unusable"
