"""The tables that come with a cohort: reports, abnormality labels, acquisition metadata.

The tables have CT-RATE's columns and one row per volume, named in ``VolumeName`` with or without ``.nii.gz``; rows of
volumes outside the cohort are ignored. Several files, such as those of two splits, are one table. Commas, semicolons or
tabs separate the cells, and a file may be packed by gzip. A table without its columns stops the run. A fault in a row
(two rows of one volume that differ, or an unreadable cell) puts only its case into quarantine; equal rows count as one.
"""

import gzip
import io
import json
import logging
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from medsyn2.errors import ReportError, TableError, reason
from medsyn2.facts import Report
from medsyn2.reports.text import text_or_none
from medsyn2.vocabulary import ABNORMALITY_LABELS, volume_key

log = logging.getLogger(__name__)

NAME = "VolumeName"
REPORT_COLUMNS = ("Findings_EN", "Impressions_EN")
METADATA_COLUMNS = ("RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing")
MAX_TABLE_BYTES = 1 << 30
MAX_REPORT_CHARACTERS = 1 << 16

_GZIP = b"\x1f\x8b"
_SEPARATORS = ",;\t"

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
    """Read CT-RATE's 18 abnormality labels, each 0 or 1, for the volumes with the keys `wanted`."""
    return _read(paths, wanted, "labels", ABNORMALITY_LABELS, (), _labels)


def read_metadata(paths: Sequence[Path], wanted: Collection[str]) -> Rows[Acquisition]:
    """Read the acquisition parameters for the volumes with the keys `wanted`.

    The columns are VolumeName, RescaleSlope, RescaleIntercept, XYSpacing and ZSpacing, and optionally
    ImagePositionPatient, ImageOrientationPatient, Rows, Columns and NumberofSlices.
    """
    optional = ("ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "NumberofSlices")
    return _read(paths, wanted, "metadata", METADATA_COLUMNS, optional, _acquisition)


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file with all cells as text: UTF-8 or UTF-16, any line ends, NUL bytes dropped, packed by gzip or not.

    Raises:
        TableError: If the file cannot be read or lacks one of `columns`.
    """
    text = _text_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text), sep=_separator_of(text), dtype=str, keep_default_na=False, index_col=False
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        raise TableError(
            f"{path} is not a table of separated cells: {error}.",
            code="table-malformed",
            remedy="write it as CSV with a header line and quotes around cells that hold commas or line breaks.",
        ) from error
    table.columns = [unicodedata.normalize("NFKC", str(name)).strip() for name in table.columns]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise TableError(
            f"{path} lacks the columns {missing}; found {list(table.columns)}, expected {list(columns)}.",
            code="table-columns",
            remedy="rename the columns to CT-RATE's names, or give the right table.",
        )
    return table


def _text_of(path: Path) -> str:
    content = _content_of(path)
    if len(content) > MAX_TABLE_BYTES:
        raise TableError(
            f"{path} has more than {MAX_TABLE_BYTES:,} bytes, the most that a table may have.",
            code="table-too-large",
            remedy="give the table itself, or cut it to the cohort's volumes.",
        )
    try:
        text = content.decode(_encoding_of(content))
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is neither UTF-8 nor UTF-16: byte {content[error.start]:#04x} at {error.start}.",
            code="table-encoding",
            remedy="save the table as CSV in UTF-8.",
        ) from error
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _content_of(path: Path) -> bytes:
    """Return a table's bytes, unpacked; at most one more than it may have."""
    try:
        with path.open("rb") as raw:
            packed = raw.peek(len(_GZIP)).startswith(_GZIP)
            with gzip.open(raw) if packed else raw as file:
                return file.read(MAX_TABLE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(
            f"{path} cannot be read: {reason(error)}.",
            code="table-unreadable",
            remedy="correct the path, or get the file again; a cohort's tables are named in the section cohort.",
        ) from error


def _separator_of(text: str) -> str:
    """Return the separator that the header line has most of."""
    return max(_SEPARATORS, key=text.partition("\n")[0].count)


def _encoding_of(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = content[:200]
    if len(start) > 8 and start[1::2].count(0) > len(start) // 3:
        return "utf-16-le"
    return "utf-8-sig"


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
    wanted = set(wanted)
    for path in paths:
        table = read_table(path, (NAME, *columns))
        total += len(table)
        keys = table[NAME].map(volume_key)
        used = [name for name in (*columns, *optional) if name in table.columns]
        chosen = keys.isin(wanted)
        cells = table.loc[chosen, used].itertuples(index=False, name=None)
        for key, values in zip(keys[chosen], cells, strict=True):
            row: Row = dict(zip(used, values, strict=True))
            known = found.setdefault(key, row)
            if known is not row and known == row:
                repeated += 1
            elif known != row:
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
    values = {name: float(row[name]) for name in ABNORMALITY_LABELS}
    wrong = {name: value for name, value in values.items() if value not in (0.0, 1.0)}
    if wrong:
        raise ValueError(f"expected labels 0 or 1, got {wrong}")
    return {name: int(value) for name, value in values.items()}


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
