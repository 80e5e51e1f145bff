"""Strips of pictures as papers have them: a row a case, a column a seed, an edit or a step, the mask as a contour.

The figure says by itself what a caption would have to: plane, window, sides, and what the contour is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from medsyn2.ct.volume import CTVolume
from medsyn2.page.figures import png_bytes, show_slice
from medsyn2.vocabulary import PLANE_AXIS, WINDOWS_HU, Window

_DPI = 130
_INCHES = 2.6
_TITLE_INCHES = 0.42
_NOTE_INCHES = 0.36
_CONTOUR = "#ffb000"
_DIFFERENCE_HU = 600
_AXIS = PLANE_AXIS["coronal"]


@dataclass(frozen=True)
class Picture:
    """One picture of a strip."""

    volume: CTVolume  # What is shown
    title: str  # What it is, in one or two lines
    mask: Bool[np.ndarray, "d h w"] | None = None  # Drawn as a contour; None draws none
    window: Window = "lung"  # Contrast


def difference(first: CTVolume, second: CTVolume) -> CTVolume:
    """Return where two volumes differ as a volume to look at: none is black, 600 HU in the lung window is white."""
    apart = np.abs(first.hu.astype(np.int32) - second.hu.astype(np.int32))
    low, high = WINDOWS_HU["lung"]
    seen = low + np.minimum(apart, _DIFFERENCE_HU) * (high - low) / _DIFFERENCE_HU
    return CTVolume(seen.astype(np.int16), first.affine_mm)


def cut_strip(pictures: Sequence[Picture]) -> list[Picture]:
    """Return the pictures of a row as the one slice that is shown of them; they are drawn as before."""
    index = _middle(pictures)
    return [_cut(one, one.volume.shape[_AXIS] // 2 if index is None else index) for one in pictures]


def write_strip(path: Path, pictures: Sequence[Picture]) -> None:
    """Write a row of pictures of one grid, cut to the slice that is shown, as an uncompressed NumPy archive."""
    row = cut_strip(pictures)
    nothing = np.zeros(row[0].volume.shape, dtype=bool)
    np.savez(
        path,
        hu=np.stack([one.volume.hu for one in row]),
        mask=np.stack([nothing if one.mask is None else one.mask for one in row]),
        has_mask=np.array([one.mask is not None for one in row]),
        title=np.array([one.title for one in row]),
        window=np.array([one.window for one in row]),
        affine_mm=row[0].volume.affine_mm,
    )


def read_strip(path: Path) -> list[Picture]:
    """Read a row of pictures."""
    with np.load(path) as kept:
        values = {name: kept[name] for name in kept.files}
    return [
        Picture(CTVolume(hu, values["affine_mm"]), str(title), mask if has_mask else None, str(window))  # type: ignore[arg-type]
        for hu, title, mask, has_mask, window in zip(
            *(values[name] for name in ("hu", "title", "mask", "has_mask", "window")), strict=True
        )
    ]


def strips_png(rows: Sequence[Sequence[Picture]], contour: str = "mask asked for") -> bytes:
    """Draw rows of pictures, each a coronal slice through the middle of what its row's first mask asks for.

    Args:
        rows: Pictures on one grid, or without masks, each then cut through its own middle; a row that is shorter than
            others leaves its end empty.
    """
    columns = max(len(row) for row in rows)
    example = rows[0][0].volume
    high, _, wide = np.multiply(example.shape, example.spacing_mm)
    picture = _INCHES * high / wide
    height = (picture + _TITLE_INCHES) * len(rows) + _NOTE_INCHES
    figure = Figure(figsize=(_INCHES * columns, height), facecolor="black")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, pictures in enumerate(rows):
        index = _middle(pictures)
        for column, axis in enumerate(axes[row]):
            axis.set_axis_off()
            if column < len(pictures):
                one = pictures[column]
                cut = one.volume.shape[_AXIS] // 2 if index is None else index
                show_slice(axis, one.volume, "coronal", cut, WINDOWS_HU[one.window], one.mask, _CONTOUR)
                axis.set_title(one.title, color="white", fontsize=8, pad=3)
                _mark_sides(axis)
    figure.subplots_adjust(
        left=0.003,
        right=0.997,
        top=1 - _TITLE_INCHES / height,
        bottom=_NOTE_INCHES / height,
        wspace=0.02,
        hspace=_TITLE_INCHES / picture,
    )
    _note(figure, [one for row in rows for one in row], contour)
    return png_bytes(figure, _DPI)


def _cut(picture: Picture, index: int) -> Picture:
    plane = np.s_[:, index : index + 1]
    volume = CTVolume(picture.volume.hu[plane].copy(), picture.volume.affine_mm)
    return replace(picture, volume=volume, mask=None if picture.mask is None else picture.mask[plane].copy())


def _mark_sides(axis: Axes) -> None:
    """Write the patient's sides into the upper corners of a coronal slice."""
    style: dict[str, Any] = {"color": "white", "fontsize": 8, "va": "top", "transform": axis.transAxes}
    for place, side, align in ((0.02, "R", "left"), (0.98, "L", "right")):
        letter = axis.text(place, 0.98, side, ha=align, **style)
        letter.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def _note(figure: Figure, pictures: Sequence[Picture], contour: str) -> None:
    """Write below the pictures what all of them share."""
    windows = {one.window: WINDOWS_HU[one.window] for one in pictures}
    shown = ", ".join(
        f"{name.replace('_', ' ')} window, {low:g} to {high:g} HU" for name, (low, high) in windows.items()
    )
    figure.text(
        0.006, _NOTE_INCHES * 0.95 / figure.get_figheight(), f"coronal; {shown}", color="white", fontsize=7, va="top"
    )
    if any(one.mask is not None for one in pictures):
        line = Line2D([], [], color=_CONTOUR, linewidth=1, label=contour)
        figure.legend(
            handles=[line], loc="lower left", frameon=False, labelcolor="white", fontsize=7, borderaxespad=0.1
        )


def _middle(pictures: Sequence[Picture]) -> int | None:
    for one in pictures:
        if one.mask is not None and one.mask.any():
            return int(np.median(np.nonzero(one.mask)[_AXIS]))
    return None
