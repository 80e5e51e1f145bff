"""Overlay picture of a case: outlines of masks over the CT in three planes.

Each plane is cut where the masks have their largest area. The patient's right is on the left of the picture in the
axial and coronal plane, anterior on the left in the sagittal one, superior on top; pixels are to scale. Equal input
gives equal bytes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsyn2.ct.volume import CTVolume
from medsyn2.types import Bool, Num
from medsyn2.vocabulary import PLANE_AXIS, Plane

WINDOW_HU = (-1100.0, 400.0)
COLOURS = (
    "#ffd400",
    "#00c8ff",
    "#ff5a5a",
    "#6dff6d",
    "#ff7bff",
    "#ff9e2c",
    "#a48bff",
    "#00ffc8",
    "#ffffff",
)
_MARGINS = {"left": 0.005, "right": 0.995, "bottom": 0.05, "top": 0.88, "wspace": 0.02}
_DPI = 100
_SIZE_IN = (9.6, 3.6)


def save_overlay(
    path: Path | str, volume: CTVolume, contours: Mapping[str, Bool[np.ndarray, "d h w"]], title: str
) -> None:
    """Write a PNG of a CT in three planes with the outline of each mask.

    Args:
        path: The PNG file.
        volume: CT in HU.
        contours: Masks on the volume's grid by their name in the legend; empty ones are omitted.
        title: One or several lines above, such as the numbers of the quality gates.
    """
    shown = {name: mask for name, mask in contours.items() if mask.any()}
    union = np.logical_or.reduce(list(shown.values())) if shown else np.zeros(volume.shape, dtype=bool)
    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, 3, gridspec_kw=_MARGINS)
    for axes, plane in zip(places, PLANE_AXIS, strict=True):
        index = _largest_slice(union, PLANE_AXIS[plane])
        _draw(axes, volume, shown, plane, index)
    figure.suptitle(title, color="white", fontsize=8, family="monospace", y=0.985)
    for position, (name, colour) in enumerate(zip(shown, _colours(len(shown)), strict=True)):
        figure.text(0.01 + 0.11 * position, 0.015, name, color=colour, fontsize=7)
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})


def _largest_slice(mask: Bool[np.ndarray, "d h w"], axis: int) -> int:
    """Return the slice with the largest area of `mask`, the middle one if it is empty."""
    area = np.count_nonzero(mask, axis=tuple({0, 1, 2} - {axis}))
    return int(np.argmax(area)) if area.any() else mask.shape[axis] // 2


def _draw(
    axes: Axes,
    volume: CTVolume,
    masks: Mapping[str, Bool[np.ndarray, "d h w"]],
    plane: Plane,
    index: int,
) -> None:
    axis = PLANE_AXIS[plane]
    rows_mm, columns_mm = np.delete(np.array(volume.spacing_mm), axis)
    low, high = WINDOW_HU
    axes.imshow(
        _display_slice(volume.hu, plane, index), cmap="gray", vmin=low, vmax=high, aspect=rows_mm / columns_mm
    )
    for mask, colour in zip(masks.values(), _colours(len(masks)), strict=True):
        outline = _display_slice(mask, plane, index)
        if outline.any() and not outline.all():
            axes.contour(outline, levels=[0.5], colors=[colour], linewidths=0.8)
    axes.set_title(f"{plane} {index}", color="white", fontsize=7, pad=2)
    axes.set_axis_off()


def _display_slice(
    array: Num[np.ndarray, "d h w"] | Bool[np.ndarray, "d h w"], plane: Plane, index: int
) -> Num[np.ndarray, "r c"] | Bool[np.ndarray, "r c"]:
    """Return a slice with superior (in the axial plane anterior) in the first row."""
    image = np.take(array, index, axis=PLANE_AXIS[plane])
    return image if plane == "axial" else image[::-1]


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]
