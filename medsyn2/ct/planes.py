"""A CT as a figure: the three planes with the outlines of masks.

Each plane is cut where the masks have their largest area, or in the middle. The patient's right is on the left of the
picture in the axial and coronal plane, anterior on the left in the sagittal one, superior on top; pixels are to scale.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsyn2.ct.affines import Spacing
from medsyn2.types import Bool, Int, Num
from medsyn2.vocabulary import COLOURS, PLANE_AXIS, Plane

OVERLAY_HU = (-1100.0, 400.0)
_MARGINS = {"left": 0.005, "right": 0.995, "bottom": 0.05, "top": 0.88, "wspace": 0.02}
DPI = 100
_SIZE_IN = (9.6, 3.6)


def plot_planes(
    hu: Num[np.ndarray, "d h w"],
    spacing_mm: Spacing,
    contours: Mapping[str, Bool[np.ndarray, "d h w"]],
    title: str,
    window_hu: tuple[float, float],
) -> Figure:
    """Draw a CT in three planes with the outline of each mask.

    Args:
        contours: Masks on the CT's grid by their name in the legend; empty ones are omitted.
        window_hu: HU that are black and white.
    """
    shown = {name: mask for name, mask in contours.items() if mask.any()}
    cuts = cut_indices(hu.shape, shown.values())
    figure = Figure(figsize=_SIZE_IN, dpi=DPI, facecolor="black")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, 3, gridspec_kw=_MARGINS)
    for axes, plane in zip(places, PLANE_AXIS, strict=True):
        _draw(axes, hu, spacing_mm, shown, plane, cuts[PLANE_AXIS[plane]], window_hu)
    figure.suptitle(title, color="white", fontsize=8, family="monospace", y=0.985, parse_math=False)
    for position, (name, colour) in enumerate(zip(shown, colours(len(shown)), strict=True)):
        figure.text(0.01 + 0.11 * position, 0.015, name, color=colour, fontsize=7, parse_math=False)
    return figure


def save_overlay(
    path: Path | str,
    hu: Num[np.ndarray, "d h w"],
    spacing_mm: Spacing,
    contours: Mapping[str, Bool[np.ndarray, "d h w"]],
    title: str,
) -> None:
    """Write `plot_planes` as a PNG in a wide window; equal input gives equal bytes."""
    figure = plot_planes(hu, spacing_mm, contours, title, OVERLAY_HU)
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def cut_indices(shape: tuple[int, ...], masks: Iterable[Bool[np.ndarray, "d h w"]]) -> tuple[int, int, int]:
    """Return the slice of each axis in which the masks are largest together; the middle without any."""
    depth, height, width = (int(np.argmax(area)) if area.any() else len(area) // 2 for area in _areas(shape, masks))
    return depth, height, width


def _areas(shape: tuple[int, ...], masks: Iterable[Bool[np.ndarray, "d h w"]]) -> tuple[Int[np.ndarray, " n"], ...]:
    """Return the area of the union of masks in each slice of each axis."""
    union = np.zeros(shape, dtype=bool)
    for mask in masks:
        union |= mask
    # A slice after the other: sums of a whole bool array along an axis are slow.
    depth, seen = np.zeros(shape[0], np.int64), np.zeros(shape[1:], np.uint16)
    for index, part in enumerate(union):
        depth[index] = np.count_nonzero(part)
        seen += part.view(np.uint8)
    return depth, seen.sum(axis=1, dtype=np.int64), seen.sum(axis=0, dtype=np.int64)


def _draw(
    axes: Axes,
    hu: Num[np.ndarray, "d h w"],
    spacing_mm: Spacing,
    masks: Mapping[str, Bool[np.ndarray, "d h w"]],
    plane: Plane,
    index: int,
    window_hu: tuple[float, float],
) -> None:
    axis = PLANE_AXIS[plane]
    rows_mm, columns_mm = np.delete(np.array(spacing_mm), axis)
    low, high = window_hu
    axes.imshow(_display_slice(hu, plane, index), cmap="gray", vmin=low, vmax=high, aspect=rows_mm / columns_mm)
    for mask, colour in zip(masks.values(), colours(len(masks)), strict=True):
        outline = _display_slice(mask, plane, index)
        if min(outline.shape) > 1 and outline.any() and not outline.all():
            axes.contour(outline, levels=[0.5], colors=[colour], linewidths=0.8)
    axes.set_title(f"{plane} {index}", color="white", fontsize=7, pad=2)
    axes.set_axis_off()


def _display_slice(
    array: Num[np.ndarray, "d h w"] | Bool[np.ndarray, "d h w"], plane: Plane, index: int
) -> Num[np.ndarray, "r c"] | Bool[np.ndarray, "r c"]:
    """Return a slice with superior (in the axial plane anterior) in the first row."""
    image = np.take(array, index, axis=PLANE_AXIS[plane])
    return image if plane == "axial" else image[::-1]


def colours(count: int) -> list[str]:
    """Return the colours of so many outlines."""
    return [COLOURS[number % len(COLOURS)] for number in range(count)]
