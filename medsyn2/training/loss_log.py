"""The table of losses: a CSV with one row a step, the same bytes whether or not the training was interrupted.

It holds no times. Whoever resumes at step k keeps the rows up to k and writes the others again.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from medsyn2.files import write_text_atomically


class LossLog:
    """The table, open at the row after `step`.

    Args:
        path: The file; rows after `step`, and a torn last row, are dropped.
        columns: Names of the values beside the step.
        step: Steps already made.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self.columns = ("step", *columns)
        rows = _rows(path)[:step]
        kept = [row for row in rows if list(row) == list(self.columns)] if rows else []
        write_text_atomically(path, self._text([dict(zip(self.columns, self.columns, strict=True)), *kept]))
        self._file = path.open("a", encoding="utf-8", newline="")

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add the row of a step; a value that is not given stays empty."""
        cells = {name: repr(float(value)) for name, value in values.items()}
        self._file.write(self._text([{"step": str(step), **cells}]))
        self._file.flush()

    def sync(self) -> None:
        """Flush the rows to the disk, before a checkpoint says that they were written."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _text(self, rows: Sequence[Mapping[str, str]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, restval="", lineterminator="\n").writerows(rows)
        return text.getvalue()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
