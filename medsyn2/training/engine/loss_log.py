"""The table of losses: a CSV with a row per step, with the same bytes whether or not the training was interrupted.

It holds no times. Checkpoints contain the table, so that a resumed training rewrites the same file.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from medsyn2.files import write_text_atomically
from medsyn2.types import Float


class LossLog:
    """The table, open for further rows."""

    def __init__(
        self, path: Path, columns: Sequence[str], table: Float[Tensor, "steps columns"] | None
    ) -> None:
        self.columns = tuple(columns)
        self._rows: list[list[float]] = [] if table is None else table.tolist()
        lines = [["step", *self.columns], *(self._cells(step) for step in range(len(self._rows)))]
        write_text_atomically(path, _text(lines))
        self._file = path.open("a", encoding="utf-8", newline="")

    def append(self, values: Mapping[str, float]) -> None:
        """Add the row of a step; missing values stay empty."""
        self._rows.append([values.get(name, math.nan) for name in self.columns])
        self._file.write(_text([self._cells(len(self._rows) - 1)]))
        self._file.flush()

    def table(self) -> Float[Tensor, "steps columns"]:
        """Return the rows so far, in float64."""
        return torch.tensor(self._rows, dtype=torch.float64).reshape(len(self._rows), len(self.columns))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cells(self, row: int) -> list[str]:
        values = ["" if math.isnan(value) else repr(float(value)) for value in self._rows[row]]
        return [str(row + 1), *values]


def _text(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
