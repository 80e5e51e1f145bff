"""How many rows of the cohort's tables are of its files, said when a run starts.

A table none of whose rows is of a file is another cohort's, or writes names in a way that is not known here. The run
would go on without reports, labels, or the HU and positions that metadata give, so it is refused. One that is of few
cases, though it has rows of many others, is warned of.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from medsyn2.cohort.input_files import TableKind, table_key
from medsyn2.cohort.subjects import SubjectTable
from medsyn2.config import CohortConfig
from medsyn2.errors import TableError
from medsyn2.reports.names import VolumeNames
from medsyn2.reports.table import count_matches

_FEW = 0.5
"""Share of the cases, and of the rows, below which the names deserve a look: a table of a part of the cohort is used
as a whole, one of a larger cohort has a row for each case."""


def list_matches(cohort: CohortConfig, names: VolumeNames, subjects: SubjectTable) -> Iterator[str]:
    """Yield a line for each kind of table: its rows, and the files of the cohort that they are of.

    Raises:
        TableError: If no row of a kind is of a file, or a table cannot be read.
    """
    for kind in get_args(TableKind):
        paths = getattr(cohort, f"{kind}_csv")
        total, found = 0, set[str]()
        for path in filter(Path.is_file, paths):  # one that is not there is named by the jobs that need it
            rows, keys = count_matches(path, names)
            total, found = total + rows, found | keys
        if total and not found:
            raise TableError(
                f"{table_key(kind)} has {total} rows, and none is of a file of the cohort, such as "
                f"{min(names.keys)!r}.",
                code="table-unmatched",
                remedy="write the names of the files into VolumeName, with their folder where several have one name; "
                "give the table of this cohort; or leave the key out.",
            )
        if paths:
            yield _count(table_key(kind), total, len(found), len(names.keys))
    if subjects.total:
        yield _count("cohort.subjects_csv", subjects.total, len(subjects.of), len(names.keys))


def _count(key: str, total: int, found: int, files: int) -> str:
    few = found < _FEW * files and found < _FEW * total
    warning = "; few: are the names in VolumeName those of the files?" if few else ""
    return f"{key}: {total} rows, {found} of {files} files have one{warning}"
