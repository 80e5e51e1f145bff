"""The figure of the augmentation study: training slices, the findings of each network on test slices, and the Dice.

The mask is yellow, the finding of the first seed's network blue. The Dice of each training set has a dot a seed and the
95 % interval over test patients and trainings around the mean; its difference from real slices has an interval of its
own, of the pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medsyn2.ct.intensity import apply_window
from medsyn2.evaluation.augmentation.slices import LabelledSlice
from medsyn2.page.figures import png_bytes
from medsyn2.vocabulary import WINDOWS_HU

MASK_COLOUR, FOUND_COLOUR = "#ffb000", "#3fa7ff"
ARM_COLOURS = {"real": "#1f4e79", "synthetic": "#b3541e", "both": "#3b7d3b"}
_DPI = 130
_INCHES = 1.9
_CHART_COLUMNS = 2.2


@dataclass(frozen=True)
class JudgedSlice:
    """A test slice and the findings of each training set's network."""

    slice: LabelledSlice
    found: Mapping[str, tuple[Bool[np.ndarray, "h w"], float]]


def augmentation_png(
    examples: Mapping[str, Sequence[LabelledSlice]],
    tested: Sequence[JudgedSlice],
    table: pd.DataFrame,
    cases: pd.DataFrame,
) -> bytes:
    """Draw the figure."""
    arms = list(table["arm"])
    columns = len(arms) + 1
    rows = 1 + len(tested)
    figure = Figure(figsize=(_INCHES * (columns + _CHART_COLUMNS), (_INCHES + 0.25) * rows + 0.35))
    grid = figure.add_gridspec(
        rows, columns + 1, width_ratios=[1] * columns + [_CHART_COLUMNS], wspace=0.06, hspace=0.16
    )
    figure.subplots_adjust(left=0.005, right=0.985, top=0.965, bottom=0.065)
    shown = [(kind, one) for kind, group in examples.items() for one in group]
    for column in range(columns):
        axis = figure.add_subplot(grid[0, column])
        axis.set_axis_off()
        if column < len(shown):
            kind, one = shown[column]
            _draw(axis, one, f"to train on: {kind}", one.mask)
    for row, test in enumerate(tested, 1):
        _draw(figure.add_subplot(grid[row, 0]), test.slice, f"test: {test.slice.name}", test.slice.mask)
        for column, arm in enumerate(arms, 1):
            found, dice = test.found[arm]
            axis = figure.add_subplot(grid[row, column])
            _draw(axis, test.slice, f"by {_arm_label(arm)}: Dice {dice:.2f}", test.slice.mask, found)
    charts = grid[:, columns].subgridspec(2, 1, hspace=0.32)
    holders = [figure.add_subplot(charts[place].subgridspec(1, 2, width_ratios=[0.28, 1])[1]) for place in range(2)]
    _dice_chart(holders[0], table, cases)
    _difference_chart(holders[1], table)
    lines = [Line2D([], [], color=colour) for colour in (MASK_COLOUR, FOUND_COLOUR)]
    figure.legend(lines, ["mask", "found"], loc="lower left", ncols=2, frameon=False, fontsize=9)
    first = table.iloc[0]
    structure = str(first["structure"]).replace("_", " ")
    words = f"{structure}: tested on {first['num_test']} slices of {first['num_patients']} patients; "
    words += f"{first['num_seeds']} networks a training set"
    figure.text(0.2, 0.022, words, fontsize=9)
    return png_bytes(figure, _DPI)


def nothing_png(why: str) -> bytes:
    """Draw the figure of a study without slices."""
    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, why, ha="center", va="center", fontsize=9)
    return png_bytes(figure, _DPI)


def _arm_label(arm: str) -> str:
    return {"both": "real + synthetic"}.get(arm, arm)


def _draw(
    axis: Axes,
    one: LabelledSlice,
    title: str,
    mask: Bool[np.ndarray, "h w"],
    found: Bool[np.ndarray, "h w"] | None = None,
) -> None:
    axis.imshow(
        apply_window(one.hu, WINDOWS_HU["lung"]),
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect=one.spacing_mm[0] / one.spacing_mm[1],
        interpolation="bilinear",
    )
    for outline, colour in ((mask, MASK_COLOUR), (found, FOUND_COLOUR)):
        if outline is not None and outline.any() and not outline.all():
            axis.contour(outline.astype(float), levels=[0.5], colors=colour, linewidths=1.1)
    axis.set_title(title, fontsize=8, pad=3)
    axis.set_axis_off()


def _dice_chart(axis: Axes, table: pd.DataFrame, cases: pd.DataFrame) -> None:
    present = cases[~cases["both_empty"].astype(bool) & ~cases["false_alarm"].astype(bool)]
    by_seed = present.groupby(["arm", "seed"])["dice"].mean()
    for place, row in enumerate(table.to_dict("records")):
        colour = ARM_COLOURS[row["arm"]]
        dots = by_seed[row["arm"]].to_numpy() if row["arm"] in by_seed else np.empty(0)
        axis.plot(np.linspace(place - 0.3, place - 0.12, len(dots)), dots, "o", color=colour, alpha=0.35, ms=4)
        _with_interval(axis, place, row, "dice", colour)
    axis.set_ylabel("Dice on test slices", fontsize=9)
    axis.set_title("Dice: dots are seeds, bars 95 % intervals", fontsize=9)
    _name_places(axis, list(table["arm"]))


def _difference_chart(axis: Axes, table: pd.DataFrame) -> None:
    others = [row for row in table.to_dict("records") if row["arm"] != "real"]
    for place, row in enumerate(others):
        _with_interval(axis, place, row, "dice_minus_real", ARM_COLOURS[row["arm"]])
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_ylabel("difference of Dice", fontsize=9)
    axis.set_title("against real slices alone, paired", fontsize=9)
    _name_places(axis, [row["arm"] for row in others])


def _with_interval(axis: Axes, place: int, row: Mapping[Any, Any], name: str, colour: str) -> None:
    axis.plot([place, place], [row[f"{name}_low"], row[f"{name}_high"]], color=colour, linewidth=2)
    axis.plot([place], [row[name]], "D", color=colour, ms=6)
    if np.isfinite(row[name]):
        sign = "+" if name != "dice" else ""
        axis.annotate(
            f"{row[name]:{sign}.3f}", (place, row[name]), xytext=(8, -3), textcoords="offset points", fontsize=8
        )


def _name_places(axis: Axes, arms: Sequence[str]) -> None:
    axis.set_xticks(range(len(arms)), [_arm_label(arm).replace(" + ", " +\n") for arm in arms], fontsize=8)
    axis.set_xlim(-0.5, len(arms) - 0.3)
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(axis="y", alpha=0.3)
