"""Subjects of files whose name does not give one: the table ``cohort.subjects_csv``.

Splits are by subject, so contradicting rows stop the run rather than put one patient into both splits. The table is
read when the workflow is planned, with the standard library only.
"""

import csv
from pathlib import Path

from medsyn2.errors import TableError
from medsyn2.vocabulary import volume_key

COLUMNS = ("VolumeName", "Subject")


def read_subjects(path: Path | None) -> dict[str, str]:
    """Read the subject of each volume, by `volume_key`; rows without a subject are ignored.

    Args:
        path: CSV file in UTF-8 with VolumeName and Subject; None if there is no table.

    Raises:
        TableError: If the file cannot be read, lacks a column, or gives a volume two subjects.
    """
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            found = list(rows.fieldnames or ())
            named = [tuple((row.get(name) or "").strip() for name in COLUMNS) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"cohort.subjects_csv is {path}, which cannot be read as a table: {error}.",
            code="table-unreadable",
            remedy="give a CSV file in UTF-8 with the columns VolumeName and Subject, or leave it empty.",
        ) from error
    if not set(COLUMNS) <= set(found):
        raise TableError(
            f"{path} lacks the columns {sorted(set(COLUMNS) - set(found))}; found {found}.",
            code="table-columns",
            remedy=f"name the columns {', '.join(COLUMNS)}.",
        )
    subjects: dict[str, str] = {}
    for volume, subject in named:
        if subject and subjects.setdefault(volume_key(volume), subject) != subject:
            raise TableError(
                f"{path} gives {volume} the subjects {subjects[volume_key(volume)]} and {subject}, expected one.",
                code="subject-conflict",
                remedy="correct the rows of this volume.",
            )
    return subjects
