"""The tables that come with a cohort: reports, abnormality labels, acquisition metadata.

The tables have CT-RATE's columns and one row per volume, named in ``VolumeName`` as ``reports/names.py`` says; rows of
volumes outside the cohort are ignored. Several files, such as those of two splits, are one table. A table without its
columns stops the run. A fault in a row (two rows of one volume that differ, or an unreadable cell) is the fault of its
volume alone; equal rows count as one.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from medsyn2.errors import ReportError
from medsyn2.facts import Report
from medsyn2.reports.cells import read_cells
from medsyn2.reports.names import VolumeNames
from medsyn2.reports.text import text_or_none
from medsyn2.vocabulary import ABNORMALITY_LABELS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

NAME = "VolumeName"
REPORT_COLUMNS = ("Findings_EN", "Impressions_EN")
METADATA_COLUMNS = ("RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing")
MAX_REPORT_CHARACTERS = 1 << 16

_YES, _NO = ("1", "1.0", "true", "yes", "y"), ("0", "0.0", "false", "no", "n")
"""Cells of a label, in lower case."""

Row = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Acquisition:
    """The acquisition parameters of a volume; None where a cell is empty."""

    slope: float | None = None  # HU per stored unit
    intercept: float | None = None  # HU of the stored value 0
    # Spacing along the file's axes: column index, row index, slice (x, y, z of an axial scan)
    spacing_mm: tuple[float, float, float] | None = None
    position_lps_mm: tuple[float, float, float] | None = None  # World position of the first voxel
    # World directions of the first and the second axis, six cosines
    orientation: tuple[float, float, float, float, float, float] | None = None
    size: tuple[int, int, int] | None = None  # Voxels along the file's axes


@dataclass(frozen=True)
class Rows(Generic[T]):
    """The rows of the requested volumes."""

    values: dict[str, T] = field(default_factory=dict)  # Parsed row of each volume, by `volume_key`
    # Error of each unusable row, by `volume_key`
    faults: dict[str, ReportError] = field(default_factory=dict)
    total: int = 0  # Number of rows of the table, all volumes included

    def get(self, key: str) -> T | None:
        """Return the parsed row of a volume, or None if it has none.

        Raises:
            ReportError: If the row cannot be used.
        """
        if key in self.faults:
            raise self.faults[key]
        return self.values.get(key)


def read_reports(paths: Sequence[Path], wanted: Collection[str]) -> Rows[Report]:
    """Read the columns VolumeName, Findings_EN and Impressions_EN for the volumes with the keys `wanted`.

    Raises:
        TableError: If a file cannot be read or lacks a column.
    """
    return _read(paths, wanted, "report", REPORT_COLUMNS, (), _report)


def read_labels(paths: Sequence[Path], wanted: Collection[str]) -> Rows[dict[str, int]]:
    """Read CT-RATE's 18 abnormality labels, each 0 or 1 (or false and true), for the volumes with the keys `wanted`."""
    return _read(paths, wanted, "labels", ABNORMALITY_LABELS, (), _labels)


def read_metadata(paths: Sequence[Path], wanted: Collection[str]) -> Rows[Acquisition]:
    """Read the acquisition parameters for the volumes with the keys `wanted`.

    The columns are VolumeName, RescaleSlope, RescaleIntercept, XYSpacing and ZSpacing, and optionally
    ImagePositionPatient, ImageOrientationPatient, Rows, Columns and NumberofSlices.
    """
    optional = ("ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "NumberofSlices")
    return _read(paths, wanted, "metadata", METADATA_COLUMNS, optional, _acquisition)


def read_table(path: Path, columns: Sequence[str]) -> "pd.DataFrame":
    """Read a table that has `columns`, all cells as text.

    Raises:
        TableError: If the file cannot be read or lacks one of `columns`.
    """
    import pandas as pd

    cells = read_cells(path, columns)
    return pd.DataFrame(cells.rows, columns=cells.columns, dtype=str)


def count_matches(path: Path, names: VolumeNames, columns: Sequence[str] = (NAME,)) -> tuple[int, set[str]]:
    """Return the number of rows of a table, and the keys of the volumes that a row is of."""
    cells = read_cells(path, columns)
    where = cells.columns.index(columns[0])
    found = (names.find(row[where]) for row in cells.rows)
    return len(cells.rows), {key for key in found if key is not None}


def _read(
    paths: Sequence[Path],
    wanted: Collection[str],
    kind: str,
    columns: Sequence[str],
    optional: Sequence[str],
    parse: Callable[[Row], T],
) -> Rows[T]:
    """Collect the wanted rows of all tables, then parse each."""
    found: dict[str, Row] = {}
    faults: dict[str, ReportError] = {}
    total = repeated = 0
    names = VolumeNames(wanted)
    for path in paths:
        cells = read_cells(path, (NAME, *columns), is_name=lambda text: names.find(text) is not None)
        total += len(cells.rows)
        places = {name: cells.columns.index(name) for name in (NAME, *columns, *optional) if name in cells.columns}
        where = places.pop(NAME)
        for values in cells.rows:
            row: Row = {name: values[place] for name, place in places.items()}
            key = names.find(values[where])
            known = row if key is None else found.setdefault(key, row)
            repeated += known is not row and known == row
            if key is not None and known != row:
                faults[key] = _conflict(key, kind, known, row)
    if repeated:
        log.warning("%s: %d rows repeat another row of the same volume and were dropped", kind, repeated)
    parsed: dict[str, T] = {}
    for key, row in found.items():
        try:
            if key not in faults:
                parsed[key] = parse(row)
        except ReportError as error:
            faults[key] = error
        except ValueError as error:
            faults[key] = ReportError(
                f"the {kind} row of {key} cannot be read: {error}.",
                code=f"{kind}-value",
                remedy="correct the row in the table.",
            )
    return Rows(parsed, faults, total)


def _conflict(key: str, kind: str, known: Row, row: Row) -> ReportError:
    differing = sorted(name for name in row if row[name] != known.get(name))
    return ReportError(
        f"the {kind} table has two rows of {key} that differ in {', '.join(differing) or 'their columns'}.",
        code=f"{kind}-conflict",
        remedy="keep the right row of this volume and delete the other.",
    )


def _report(row: Row) -> Report:
    longest = max(len(row[name]) for name in REPORT_COLUMNS)
    if longest > MAX_REPORT_CHARACTERS:
        raise ReportError(
            f"expected a report of at most {MAX_REPORT_CHARACTERS:,} characters, got {longest:,}.",
            code="report-too-long",
            remedy="a quote is probably missing in the table, so that several rows became one cell.",
        )
    return Report(text_or_none(row["Findings_EN"]), text_or_none(row["Impressions_EN"]))


def _labels(row: Row) -> dict[str, int]:
    return {name: read_label(row[name], name) for name in ABNORMALITY_LABELS}


def read_label(cell: str, name: str) -> int:
    """Return the label that a cell holds: 0 or 1.

    Raises:
        ValueError: If it is blank, uncertain (CheXpert's -1) or anything else.
    """
    value = cell.strip().lower()
    if value in _YES or value in _NO:
        return int(value in _YES)
    number = float(value) if value.replace(".", "", 1).isdigit() else -1.0
    if number not in (0.0, 1.0):
        raise ValueError(f"{name} is {cell!r}, expected 0 or 1")
    return int(number)


def _acquisition(row: Row) -> Acquisition:
    in_plane = _numbers(row, "XYSpacing", 2)
    slices_mm = _numbers(row, "ZSpacing", 1)
    position = _numbers(row, "ImagePositionPatient", 3)
    cosines = _numbers(row, "ImageOrientationPatient", 6)
    size = [_numbers(row, name, 1) for name in ("Columns", "Rows", "NumberofSlices")]
    slope, intercept = (_numbers(row, name, 1) for name in ("RescaleSlope", "RescaleIntercept"))
    return Acquisition(
        slope=slope[0] if slope else None,
        intercept=intercept[0] if intercept else None,
        spacing_mm=(in_plane[0], in_plane[1], slices_mm[0]) if in_plane and slices_mm else None,
        position_lps_mm=(position[0], position[1], position[2]) if position else None,
        orientation=tuple(cosines) if cosines else None,  # type: ignore[arg-type]
        size=(int(size[0][0]), int(size[1][0]), int(size[2][0])) if all(size) else None,  # type: ignore[index]
    )


def _numbers(row: Row, name: str, count: int) -> list[float] | None:
    """Read a cell such as ``0.74`` or ``[0.74, 0.74]``; an empty one or ``nan`` is None."""
    cell = row.get(name, "").strip()
    if cell.lower() in ("", "nan", "none"):
        return None
    try:
        values = json.loads(cell)
        numbers = [float(value) for value in (values if isinstance(values, list) else [values])]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is {cell!r}") from error
    if len(numbers) != count or not all(abs(value) < 1e9 for value in numbers):
        raise ValueError(f"{name} is {cell!r}, expected {count} finite numbers")
    return numbers
