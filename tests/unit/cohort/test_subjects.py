"""The patient of each file, from the table of subjects or from its name."""

from pathlib import Path

import pytest

from medsyn2.cohort.subjects import read_subjects, subjects_by_name
from medsyn2.errors import TableError
from medsyn2.reports.names import VolumeNames


def read(path: Path | None, *keys: str) -> dict[str, str]:
    """Read the subjects of these volumes."""
    return dict(read_subjects(path, VolumeNames(keys)).of)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "subjects.csv"


def test_rows_name_files_with_or_without_suffix_and_folder(table: Path) -> None:
    table.write_text("\ufeffSubject,Note,VolumeName\nP1,x,sub/a.nii.gz\nP1,,a\n P2 ,,e\u0301.nii\n,,nobody\n", "utf-8")
    assert read(table, "a", "\u00e9") == {"a": "P1", "\u00e9": "P2"}
    assert read(None) == {}


def test_names_that_differ_after_a_dot_are_two_volumes(table: Path) -> None:
    table.write_text("VolumeName,Subject\nscan.1,P1\nscan.2.nii.gz,P2\n", "utf-8")
    assert read(table, "scan.1", "scan.2") == {"scan.1": "P1", "scan.2": "P2"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "table-unreadable"),
        (b"VolumeName,Subject\na,\xff\n", "table-encoding"),
        (b"", "table-malformed"),
        (b"VolumeName,Patient\na,P\n", "table-columns"),
        (b"VolumeName,Subject\na.nii,P1\na.nii.gz,P2\n", "subject-conflict"),
    ],
)
def test_a_table_that_cannot_be_trusted_stops_the_plan(table: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(TableError, match=rf"{code}.*subjects\.csv"):
        read(table, "a")


def test_a_table_of_other_files_is_refused(table: Path) -> None:
    table.write_text("VolumeName,Subject\nP1-scan1,P1\nP1-scan2,P1\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"table-unmatched.*2 rows.*'P1-scan1'.*'scan_1'"):
        read(table, "scan_1", "scan_2")


def test_spreadsheets_write_the_table_in_their_ways(table: Path) -> None:
    table.write_bytes("VolumeName;Subject\n='a.nii.gz';P1 \nB_0000.NII;p1\u200b\n".encode("utf-16"))
    assert read(table, "a", "b", "c") == {"a": "P1", "b": "P1"}


@pytest.mark.parametrize(
    ("places", "subjects"),
    [
        (["train_1_a_1.nii.gz", "TRAIN_1_B_1.NII.GZ"], ["train_1", "train_1"]),
        (["sub-01/ses-1/ct/sub-01_ses-1_ct.nii.gz", "sub-01_ses-2_ct.nii"], ["sub-01", "sub-01"]),
        (["lung_1_0000.nii.gz", "lung_1.nii.gz"], ["lung_1", "lung_1"]),
        (["imagesTr/x_1_0000.nii", "imagesTr/x_1_0001.nii", "imagesTr/x_2_0000.nii"], ["x_1", "x_1", "x_2"]),
        (["imagesTr/p_0000.nii", "imagesTr/p_0001.nii", "imagesTr/p_0002.nii"], ["p", "p_0001", "p_0002"]),
        (["p_0001.nii", "p_0002.nii"], ["p_0001", "p_0002"]),
    ],
)
def test_names_tell_the_patient(places: list[str], subjects: list[str]) -> None:
    order = {Path(place).name.split(".")[0]: place for place in places}
    assert list(subjects_by_name(order).values()) == subjects
