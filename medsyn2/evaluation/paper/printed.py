"""The paper's tables as printed, so that their implications can be recomputed. None of these numbers is ours.

``printed.csv`` has a row a number: its table, row and column, its unit, and the extractor, model or segmenter that it
was computed by, as far as the paper says. A number that is not printed is empty. Names are the paper's; [29], [32] and
[38] are its references, to tasks of TotalSegmentator that have authors of their own.

Source: MedSyn2, Tables 1 to 8.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

_NUMBERS = pd.read_csv(
    Path(__file__).with_name("printed.csv"), dtype={"table": str}, keep_default_na=False, na_values={"value": ""}
)
_PLACE = ["table", "row", "column"]
_UNITS = {(table, column): unit for table, _, column, unit in _NUMBERS[[*_PLACE, "unit"]].to_numpy()}
_MAKERS = {tuple(place): maker for *place, maker in _NUMBERS[[*_PLACE, "made_by"]].to_numpy()}


def _frame(numbers: pd.DataFrame) -> pd.DataFrame:
    frame = numbers.pivot(index="row", columns="column", values="value")
    frame = frame.loc[numbers["row"].unique(), numbers["column"].unique()]
    return frame.rename_axis(index=None, columns=None)


PRINTED: Mapping[str, pd.DataFrame] = MappingProxyType(
    {str(number): _frame(numbers) for number, numbers in _NUMBERS.groupby("table")}
)
"""The paper's tables by number."""

VOXEL_MM = 0.7
"""Of the paper's volumes."""
TOKENIZER = "the tokenizer alone"
"""Maker of masks that no segmenter found."""


def unit_of(table: str, column: str) -> str:
    """Return the unit that the paper prints for a column; empty if the values have none."""
    return _UNITS[table, column]


def maker_of(table: str, row: str, column: str) -> str:
    """Return the extractor, model or segmenter that a printed number was computed by, as far as the paper says."""
    return _MAKERS[table, row, column]
