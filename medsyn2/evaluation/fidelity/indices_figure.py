"""The figure of the indices of volumes: a panel an index, the real volumes beside each set.

Dots are volumes, red outside the range of the real ones, which is grey. An index that is judged by its logarithm has a
logarithmic axis.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medsyn2.evaluation.features.indices import INDICES
from medsyn2.evaluation.fidelity.indices import ALL_INDICES
from medsyn2.facts import REAL
from medsyn2.page.figures import png_bytes

REAL_COLOUR, SYNTHETIC_COLOUR, OUTSIDE_COLOUR = "#1f4e79", "#b3541e", "#c00000"
_DPI = 110
_COLUMNS = 4
_PANEL_INCHES = (3.4, 2.7)
_WIDTH = 0.5
"""Width over which the dots of a set are spread."""


def indices_png(table: pd.DataFrame, cases: pd.DataFrame) -> bytes:
    """Draw the figure of the tables of `judge_indices`."""
    rows = -(-len(ALL_INDICES) // _COLUMNS)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(_COLUMNS * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis, name in zip(axes, ALL_INDICES, strict=False):
        _draw_index(axis, name, table[table["index"] == name], cases)
    for axis in axes[len(ALL_INDICES) :]:
        axis.set_axis_off()
    return png_bytes(figure, _DPI)


def _draw_index(axis: Axes, name: str, rows: pd.DataFrame, cases: pd.DataFrame) -> None:
    first, labels = rows.iloc[0], []
    if np.isfinite(first["limit_low"]):
        axis.axhspan(first["limit_low"], first["limit_high"], color="#888888", alpha=0.15, linewidth=0)
    for place, row in enumerate(rows.to_dict("records")):
        own = cases[(cases["source"] == row["source"]) & cases[name].notna()]
        outside = own["outside"].str.split("; ").map(lambda names: name in names).to_numpy(bool)
        colour = REAL_COLOUR if row["source"] == REAL else SYNTHETIC_COLOUR
        spread = place + (np.linspace(-0.5, 0.5, len(own)) * _WIDTH if len(own) > 1 else np.zeros(len(own)))
        for chosen, shade in ((~outside, colour), (outside, OUTSIDE_COLOUR)):
            axis.plot(spread[chosen], own[name].to_numpy(float)[chosen], "o", color=shade, markersize=3)
        of_kind = row["source"] if row["source"] == REAL else f"{row['source']}, SYNTHETIC"
        labels.append(f"{of_kind}\n{row['outside_percent']:.0f} % outside" + "\nFLAG" * bool(row["flag"]))
    if name in INDICES and (cases[name].dropna() > 0).any():
        axis.set_yscale("log", nonpositive="clip")
    axis.set_xticks(range(len(labels)), labels, fontsize=6)
    axis.set_xlim(-0.6, len(labels) - 0.4)
    axis.set_title(name, fontsize=9)
    axis.tick_params(axis="y", labelsize=7, which="both")
    axis.grid(axis="y", alpha=0.3)
