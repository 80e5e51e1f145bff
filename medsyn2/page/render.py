"""From values and pictures to one HTML file that needs nothing beside it.

Every text is escaped, and the page's own policy allows neither scripts nor anything from elsewhere: names and
reports come from users' files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from math import nan
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

MAX_ROWS = 60


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    number: bool


@dataclass(frozen=True)
class ShownTable:
    """A table as the page shows it."""

    file: str  # Where the whole table is
    about: str  # What it says
    columns: list[str]  # Names of the columns
    rows: list[list[Cell]]  # The first rows
    num: int  # Rows of the whole table
    # Columns that say the same in every row, with what they say, and are not among `columns`
    same: dict[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        """How many rows the page does not show."""
        return self.num - len(self.rows)


def shown(frame: pd.DataFrame, *, file: str, about: str = "", gather: bool = False) -> ShownTable:
    """Prepare the first rows of a table for the page.

    Args:
        gather: Say once what columns of words, other than the first, say in every row, and set the interval
            ``<value>_low``, ``<value>_high`` in brackets behind its value.
    """
    words = list(frame.columns[1:]) if gather and len(frame) > 1 else []
    same = {
        str(name): str(frame[name].iloc[0])
        for name in words
        if frame[name].nunique(dropna=False) == 1 and isinstance(frame[name].iloc[0], str)
    }
    frame = frame.drop(columns=list(same))
    ends = {name: (f"{name}_low", f"{name}_high") for name in map(str, frame.columns)} if gather else {}
    ends = {name: both for name, both in ends.items() if {*both} <= {*frame.columns}}
    columns = [str(name) for name in frame.columns if name not in {end for both in ends.values() for end in both}]
    rows = [
        [_cell(row[name], *(row[end] for end in ends.get(name, ()))) for name in columns]
        for row in frame.head(MAX_ROWS).to_dict("records")
    ]
    return ShownTable(file, about, columns, rows, len(frame), same)


def _cell(value: Any, low: float = nan, high: float = nan) -> Cell:
    if low == low and high == high:
        return Cell(f"{value:.4g} ({low:.4g} to {high:.4g})", number=True)
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return Cell("", number=False)
    if isinstance(value, float):
        return Cell(f"{value:.4g}", number=True)
    return Cell(str(value), number=isinstance(value, int))


def render(values: Mapping[str, Any], template: str = "template.html") -> str:
    """Return a page."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["emphasise"] = emphasise
    return environment.get_template(template).render(values)


def emphasise(text: str) -> Markup:
    """Return a caption as HTML: escaped, its *emphasis* as an element."""
    return Markup(re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", str(escape(text))))


def _source(name: str) -> str:
    return files("medsyn2.page").joinpath(name).read_text(encoding="utf-8")
