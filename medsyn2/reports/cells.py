"""The cells of a table as text, whoever wrote the file.

A table is UTF-8 or UTF-16, packed by gzip or not, with commas, semicolons or tabs between its cells, as its header line
has most of them or its first line says (``sep=;``). Quotes are read strictly: after a quote without its partner, the
usual readers take the next rows for a part of the cell, and a case gets the findings of three. Such a table is refused
with the line, also where a later stray quote makes the quotes even, which shows by the row within a cell.
"""

import csv
import gzip
import io
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsyn2.errors import TableError, reason
from medsyn2.vocabulary import CT_RATE_NAME, volume_key

MAX_TABLE_BYTES = 1 << 30

_GZIP = b"\x1f\x8b"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How an .xlsx, an .ods and an .xls begin, whatever their name."""
_SEPARATORS = ",;\t"
_LONGEST_NUMBER = 2
"""Digits of the numbers of a list."""

IsName = Callable[[str], bool]


@dataclass(frozen=True)
class Cells:
    """The rows of a table, as text."""

    path: Path
    columns: list[str]
    rows: list[list[str]]  # As many cells each as there are columns
    lines: list[int]  # The line of the file that each row begins in; the header is in line 1


def read_cells(path: Path, columns: Sequence[str], is_name: IsName = lambda cell: False) -> Cells:
    """Read a table that has `columns`, of which the first holds names of volumes.

    Args:
        is_name: Whether a text is the name of a volume, beside those that end like one and CT-RATE's.

    Raises:
        TableError: If the file cannot be read, lacks a column, or has broken quotes.
    """
    text, skipped = _without_hint(_text_of(path))
    separator = _separator_of(text)
    try:
        found = list(_rows(text, separator, path))
    except TableError:
        if '\\"' not in text:
            raise
        found = list(_rows(text, separator, path, escape="\\"))
    if not found:
        raise _table_error(path, "it is empty")
    names = [_column_name(name) for name in found[0][1]]
    if missing := [name for name in columns if name not in names]:
        raise TableError(
            f"{path} lacks the columns {missing}; found {names}, expected {list(columns)}.",
            code="table-columns",
            remedy="rename the columns to the expected names, or give the right table.",
        )
    where = names.index(columns[0])
    rows: list[list[str]] = []
    for line, row in found[1:]:
        if len(row) > len(names) and any(row[len(names) :]):
            raise _table_error(path, f"line {line + skipped} has {len(row)} cells, and the header has {len(names)}")
        _refuse_row_in_cell(row, where, separator, is_name, f"{path}, line {line + skipped}")
        rows.append([*row[: len(names)], *[""] * (len(names) - len(row))])
    return Cells(path, names, rows, [line + skipped for line, _ in found[1:]])


def _rows(text: str, separator: str, path: Path, escape: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty with the line that it begins in."""
    csv.field_size_limit(MAX_TABLE_BYTES)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True, escapechar=escape, doublequote=escape is None)
    line = 1
    try:
        for row in reader:
            if any(row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableError(
            f"{path}: the row that begins in line {line} has a quote without its partner, and rows after it would "
            f"become a part of its cell: {error}.",
            code="table-quotes",
            remedy="close the quote, or write two for one that belongs to the text; cells that hold separators, quotes "
            "or line breaks stand in quotes.",
        ) from error


def _refuse_row_in_cell(row: Sequence[str], where: int, separator: str, is_name: IsName, place: str) -> None:
    """Refuse a cell with a line break after which another row of the table follows."""
    for cell in row:
        for line in cell.split("\n")[1:] if "\n" in cell else ():
            parts = line.split(separator)
            name = parts[where].strip(" '\"") if len(parts) > max(where, 1) else ""
            if name and (_is_certain_name(name) or (_may_be_name(name) and is_name(name))):
                raise TableError(
                    f"{place}: a cell of {row[min(where, len(row) - 1)]!r} holds the row of {name!r}.",
                    code="table-quotes",
                    remedy="a quote is missing or too many there; close it, or write two for one that belongs to the "
                    "text.",
                )


def _is_certain_name(name: str) -> bool:
    return name.lower().endswith((".nii", ".nii.gz")) or CT_RATE_NAME.match(volume_key(name)) is not None


def _may_be_name(name: str) -> bool:
    """Return whether a text is more than a word or the number of a list, which a line of a report may begin with."""
    return len(name) > _LONGEST_NUMBER and any(map(str.isdigit, name))


def _table_error(path: Path, problem: str) -> TableError:
    return TableError(
        f"{path} is not a table of separated cells: {problem}.",
        code="table-malformed",
        remedy="write it as CSV with a header line and quotes around cells that hold commas or line breaks.",
    )


def _column_name(name: str) -> str:
    visible = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cf"))
    return unicodedata.normalize("NFKC", visible).strip()


def _without_hint(text: str) -> tuple[str, int]:
    """Return a text without the line by which spreadsheets name the separator, and the number of lines taken."""
    first, _, rest = text.partition("\n")
    return (rest, 1) if first.strip().strip('"').lower().startswith("sep=") else (text, 0)


def _text_of(path: Path) -> str:
    content = _content_of(path)
    if len(content) > MAX_TABLE_BYTES:
        raise TableError(
            f"{path} has more than {MAX_TABLE_BYTES:,} bytes, the most that a table may have.",
            code="table-too-large",
            remedy="give the table itself, or cut it to the cohort's volumes.",
        )
    if content.startswith(_WORKBOOKS):
        raise _table_error(path, "it is the workbook of a spreadsheet program, or another archive")
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
