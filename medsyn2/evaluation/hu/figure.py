"""The figure of HU by organ and tissue: a panel a region, real volumes beside each condition of synthetic ones.

A box spans the mean 25th to 75th percentile of the cases' voxels, its whiskers the mean 5th to 95th. Dots are the
cases' medians, the diamond is their mean with its 95 % interval over patients. Outliers are red, with the name of the
case; the grey band marks the limits outside of which a median is an outlier.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medsyn2.evaluation.hu.hu import OUTLIER_COLUMNS, REGIONS
from medsyn2.facts import REAL
from medsyn2.page.figures import png_bytes

REAL_COLOUR, SYNTHETIC_COLOUR, OUTLIER_COLOUR = "#1f4e79", "#b3541e", "#c00000"
_DPI = 130
_COLUMNS = 3
_PANEL_INCHES = (4.2, 3.4)
_BOX = 0.25
_MAX_NAMES = 3
"""Names a box; the table lists all."""
_LINE_SHARE = 0.045
"""Height of a name, as a share of the axis."""


def hu_png(table: pd.DataFrame, cases: pd.DataFrame) -> bytes:
    """Draw the figure."""
    rows = -(-len(REGIONS) // _COLUMNS)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(_COLUMNS * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis, region in zip(axes, REGIONS, strict=False):
        _draw_region(axis, region, table[table["region"] == region], cases[cases["region"] == region])
    return png_bytes(figure, _DPI)


def _draw_region(axis: Axes, region: str, table: pd.DataFrame, cases: pd.DataFrame) -> None:
    known = cases.dropna(subset=["median_hu"])
    sources = [REAL, *(source for source in table["source"] if source)]
    first = table.iloc[0]
    if np.isfinite(first["limit_low_hu"]):
        axis.axhspan(first["limit_low_hu"], first["limit_high_hu"], color="#888888", alpha=0.15, linewidth=0)
    boxes = [known[known["source"] == source] for source in sources]
    for place, box in enumerate(boxes):
        _draw_box(axis, place, box, SYNTHETIC_COLOUR if place else REAL_COLOUR)
    _draw_mean(axis, 0, first, "real")
    for place, row in enumerate((row for _, row in table.iterrows() if row["source"]), 1):
        _draw_mean(axis, place, row, "synthetic")
    for place, box in enumerate(boxes):
        _name_outliers(axis, place, box)
    labels = [
        f"{source}{'' if source == REAL else ', SYNTHETIC'}\nn = {len(box)}"
        for source, box in zip(sources, boxes, strict=True)
    ]
    axis.set_xticks(range(len(sources)), labels, fontsize=7)
    axis.set_xlim(-0.6, len(sources) - 0.3)
    axis.set_title(region, fontsize=10)
    axis.set_ylabel("HU", fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(axis="y", alpha=0.3)


def _draw_box(axis: Axes, place: int, cases: pd.DataFrame, colour: str) -> None:
    if cases.empty:
        axis.text(place, 0.5, "missing", ha="center", fontsize=8, transform=axis.get_xaxis_transform())
        return
    p5, p25, p75, p95 = (cases[name].mean() for name in ("p5_hu", "p25_hu", "p75_hu", "p95_hu"))
    axis.vlines(place, p5, p95, color=colour, linewidth=1)
    axis.bar(place, p75 - p25, 2 * _BOX, bottom=p25, color=colour, alpha=0.3, edgecolor=colour)
    outside, medians = _outside(cases), cases["median_hu"].to_numpy(float)
    places = _dot_places(place, len(cases))
    axis.plot(places[~outside], medians[~outside], "o", color=colour, markersize=3, alpha=0.7)
    axis.plot(places[outside], medians[outside], "o", color=OUTLIER_COLOUR, markersize=4)


def _outside(cases: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    return np.asarray(cases[OUTLIER_COLUMNS].to_numpy(bool).any(axis=1))


def _dot_places(place: int, num: int) -> Float[np.ndarray, " n"]:
    """Spread dots over the width of a box in their order, so that equal medians stay apart."""
    return place + (np.linspace(-0.6, 0.6, num) * _BOX if num > 1 else np.zeros(num))


def _name_outliers(axis: Axes, place: int, cases: pd.DataFrame) -> None:
    """Write the names of the farthest outliers beside their box, from the lowest up, and count the others above it."""
    medians, places = cases["median_hu"].to_numpy(float), _dot_places(place, len(cases))
    outside = np.flatnonzero(_outside(cases))
    distance = np.abs(medians[outside] - np.median(medians)) if len(outside) else np.empty(0)
    named = outside[np.argsort(-distance, kind="stable")[:_MAX_NAMES]]
    low, high = axis.get_ylim()
    text_hu = -np.inf
    for index in named[np.argsort(medians[named], kind="stable")]:
        text_hu = max(medians[index], text_hu + _LINE_SHARE * (high - low))
        axis.annotate(
            cases["case"].iloc[index],
            (places[index], medians[index]),
            xytext=(place + 0.3, text_hu),
            fontsize=6,
            va="center",
            color=OUTLIER_COLOUR,
            arrowprops={"arrowstyle": "-", "color": OUTLIER_COLOUR, "linewidth": 0.4},
        )
    if len(outside) > len(named):
        count = f"{len(outside)} of {len(cases)} outside"
        axis.text(place, high, count, fontsize=6, ha="center", va="top", color=OUTLIER_COLOUR)


def _draw_mean(axis: Axes, place: int, row: pd.Series, side: str) -> None:
    name = f"{side}_median_hu"
    axis.plot([place - 0.36] * 2, [row[f"{name}_low"], row[f"{name}_high"]], color="black", linewidth=1.5)
    axis.plot([place - 0.36], [row[name]], "D", color="black", markersize=4)
