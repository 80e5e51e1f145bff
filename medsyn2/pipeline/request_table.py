"""Tables of requests: a row a volume, or several of different seeds.

    name,report,mask,words,seed
    a,"Large left pleural effusion.",,,
    b,,masks/heart.nii.gz,heart,7

Only ``name`` is needed; it names the files. Masks are named by their path from the table's folder, and none may lead
out of it: a table from somebody else must not reach other files. A row without a seed has one of its own, which follows
from its name, so that rows differ in more than their conditions and stay as they are when rows are added.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsyn2.errors import CaseError, ConfigError, MaskError, MedSyn2Error, ReportError, TableError
from medsyn2.flow.sampling import to_int
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.reports.cells import Cells, read_cells
from medsyn2.reports.table import MAX_REPORT_CHARACTERS
from medsyn2.reports.text import text_or_none
from medsyn2.vocabulary import VOLUME_SUFFIXES

log = logging.getLogger(__name__)

COLUMNS = ("name", "report", "mask", "words", "seed")
_NAME = re.compile(r"\w[\w.+-]{0,119}")
"""Names that every file system takes, also with ``_mask_before_1.nii.gz`` after them."""


@dataclass(frozen=True)
class Row:
    """A request of a table, read but not followed yet."""

    line: int  # Of the file
    name: str
    report: str | None
    mask: Path | None
    words: str | None
    seed: int  # Of the first volume


@dataclass(frozen=True)
class Failure:
    """A volume that could not be made, and why."""

    line: int
    name: str
    code: str
    message: str

    @classmethod
    def of(cls, line: int, name: str, error: MedSyn2Error) -> "Failure":
        """Return the failure of a row by an error."""
        return cls(line, name, error.code, str(error))


@dataclass(frozen=True)
class Volume:
    """One volume of a row."""

    row: Row
    name: str  # Of its files, without a suffix
    seed: int


def read_requests(path: Path, *, first_seed: int) -> tuple[list[Row], list[Failure]]:
    """Read the rows of a table, and the failures of those that cannot be requests.

    Args:
        first_seed: Changes the seeds of rows without one.

    Raises:
        TableError: If the file is no table, has no rows, or names two rows alike.
    """
    cells = read_cells(path, COLUMNS[:1])
    if unread := [name for name in cells.columns if name not in COLUMNS]:
        log.warning("%s: the columns %s are not read; known are %s", path, unread, list(COLUMNS))
    rows: list[Row] = []
    failures: list[Failure] = []
    for line, values in zip(cells.lines, _values(cells), strict=True):
        try:
            rows.append(_row(line, values, path.parent, first_seed))
        except CaseError as error:
            failures.append(Failure.of(line, values["name"], error))
    if not rows and not failures:
        raise TableError(f"{path} has no rows.", code="table-malformed", remedy="write a row for each volume.")
    return rows, failures


def list_volumes(rows: Sequence[Row], path: Path, *, num_seeds: int, shard: tuple[int, int] = (1, 1)) -> list[Volume]:
    """Return the volumes of the rows of one part of a table: every n-th row from the i-th on.

    Raises:
        TableError: If two volumes of the table would have a file of one name.
    """
    volumes = [one for row in rows for one in _volumes(row, num_seeds)]
    seen: dict[str, Volume] = {}
    for volume in volumes:
        for file in (volume.name, f"{volume.name}_mask"):
            other = seen.setdefault(file.lower(), volume)
            if other is not volume:
                raise TableError(
                    f"{path}: the rows in line {other.row.line} and {volume.row.line} would both write {file}.nii.gz.",
                    code="table-names",
                    remedy="give each row a name of its own; capitals make no difference.",
                )
    part, parts = shard
    chosen = {row.name for row in rows[part - 1 :: parts]}
    return [volume for volume in volumes if volume.row.name in chosen]


def parse_shard(text: str) -> tuple[int, int]:
    """Return the number of a part and of all parts from a text such as ``2/8``.

    Raises:
        ConfigError: If it is no such text.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigError(
            f"expected a part such as 1/8, from 1/8 to 8/8, got {text!r}.",
            code="shard-invalid",
            remedy="give the number of this job and of all jobs.",
        )
    return part, parts


def _values(cells: Cells) -> Iterator[dict[str, str]]:
    places = {name: cells.columns.index(name) for name in COLUMNS if name in cells.columns}
    for row in cells.rows:
        yield {name: row[places[name]].strip() if name in places else "" for name in COLUMNS}


def _row(line: int, values: dict[str, str], folder: Path, first_seed: int) -> Row:
    name = _name(values["name"])
    if len(values["report"]) > MAX_REPORT_CHARACTERS:
        raise ReportError(
            f"expected a report of at most {MAX_REPORT_CHARACTERS:,} characters, got {len(values['report']):,}.",
            code="report-too-long",
            remedy="a quote is probably missing in the table, so that several rows became one cell.",
        )
    mask = _path_within(folder, values["mask"]) if values["mask"] else None
    seed = derive_seed(first_seed, name, "table") if not values["seed"] else _seed(values["seed"])
    return Row(line, name, text_or_none(values["report"]), mask, text_or_none(values["words"]), seed)


def _name(cell: str) -> str:
    suffix = next((suffix for suffix in VOLUME_SUFFIXES if cell.lower().endswith(suffix)), "")
    name = cell[: len(cell) - len(suffix)]
    if not _NAME.fullmatch(name):
        raise MaskError(
            f"expected a name of letters, digits, _, -, + and dots, got {cell[:80]!r}.",
            code="row-name",
            remedy="name the volume without folders; its files are called so.",
        )
    return name


def _seed(cell: str) -> int:
    try:
        return int(cell) if cell.lstrip("+-").isdecimal() else to_int(float(cell), "seed")
    except ValueError as error:
        raise _seed_error(cell) from error


def _seed_error(cell: str) -> MaskError:
    return MaskError(
        f"expected a seed from 0 to 2^63 - 1, got {cell[:80]!r}.",
        code="row-seed",
        remedy="write a whole number, or leave the cell empty.",
    )


def _path_within(folder: Path, cell: str) -> Path:
    path = (folder / cell).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise MaskError(
            f"expected a mask below the table's folder, got {cell[:200]!r}, which lies elsewhere.",
            code="path-outside-folder",
            remedy="copy the mask beside the table, and name it from there.",
        )
    return path


def _volumes(row: Row, num_seeds: int) -> Iterator[Volume]:
    if num_seeds == 1:
        yield Volume(row, row.name, row.seed)
    else:
        yield from (Volume(row, f"{row.name}_{index}", row.seed + index) for index in range(num_seeds))
