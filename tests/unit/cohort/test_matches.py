"""Tables say how many of their rows are used; one of another cohort is refused."""

from pathlib import Path

import pytest

from medsyn2.cohort.matches import list_matches
from medsyn2.cohort.subjects import SubjectTable
from medsyn2.config import CohortConfig
from medsyn2.errors import TableError
from medsyn2.reports.names import VolumeNames

NAMES = VolumeNames(f"scan_{number}" for number in range(10))


def table(folder: Path, name: str, *volumes: str) -> str:
    """Write a table of these volumes."""
    (folder / name).write_text(
        "VolumeName,Findings_EN\n" + "".join(f"{volume},x\n" for volume in volumes), encoding="utf-8"
    )
    return str(folder / name)


def lines(subjects: SubjectTable | None = None, **tables: object) -> list[str]:
    """List the matches of the cohort's tables."""
    return list(list_matches(CohortConfig(**tables), NAMES, subjects or SubjectTable()))


def test_rows_are_counted_over_the_tables_of_a_kind(tmp_path: Path) -> None:
    every = table(tmp_path, "train.csv", *(f"SCAN_{number}.nii.gz" for number in range(8)), "other")
    both = [every, table(tmp_path, "valid.csv", "valid_1", "valid_2")]
    assert lines(reports_csv=both) == ["cohort.reports_csv: 11 rows, 8 of 10 files have one"]
    part = table(tmp_path, "part.csv", "scan_1")
    assert lines(labels_csv=part) == ["cohort.labels_csv: 1 rows, 1 of 10 files have one"]
    assert lines(SubjectTable({"scan_1": "P"}, 2)) == ["cohort.subjects_csv: 2 rows, 1 of 10 files have one"]
    assert lines() == []


def test_few_are_warned_of_and_none_is_refused(tmp_path: Path) -> None:
    few = table(tmp_path, "few.csv", "scan_1", *(f"patient {number}" for number in range(9)))
    (line,) = lines(metadata_csv=few)
    assert line.endswith("1 of 10 files have one; few: are the names in VolumeName those of the files?")
    none = table(tmp_path, "none.csv", "patient 1", "patient 2")
    with pytest.raises(TableError, match=r"table-unmatched.*cohort\.labels_csv has 2 rows.*'scan_0'"):
        lines(labels_csv=none)
    assert lines(labels_csv=table(tmp_path, "empty.csv")) == ["cohort.labels_csv: 0 rows, 0 of 10 files have one"]
