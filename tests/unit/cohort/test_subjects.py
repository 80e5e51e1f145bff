"""The table that says whose scan a file is."""

from pathlib import Path

import pytest

from medsyn2.cohort.subjects import read_subjects
from medsyn2.errors import TableError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "subjects.csv"


def test_rows_name_files_with_or_without_suffix_and_folder(table: Path) -> None:
    table.write_text(
        "\ufeffSubject,Note,VolumeName\nP1,x,sub/a.nii.gz\nP1,,a\n P2 ,,e\u0301.nii\n,,nobody\n", "utf-8"
    )
    assert read_subjects(table) == {"a": "P1", "\u00e9": "P2"}
    assert read_subjects(None) == {}


def test_names_that_differ_after_a_dot_are_two_volumes(table: Path) -> None:
    table.write_text("VolumeName,Subject\nscan.1,P1\nscan.2.nii.gz,P2\n", "utf-8")
    assert read_subjects(table) == {"scan.1": "P1", "scan.2": "P2"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "table-unreadable"),
        (b"VolumeName,Subject\na,\xff\n", "table-unreadable"),
        (b"", "table-columns"),
        (b"VolumeName,Patient\na,P\n", "table-columns"),
        (b"VolumeName,Subject\na.nii,P1\na.nii.gz,P2\n", "subject-conflict"),
    ],
)
def test_a_table_that_cannot_be_trusted_stops_the_plan(table: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(TableError, match=rf"{code}.*subjects\.csv"):
        read_subjects(table)
