"""Strips of pictures as papers have them: a row a case, a column a seed, an edit or a step, the mask as a contour."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsyn2.ct.volume import CTVolume
from medsyn2.page.figures import show_slice
from medsyn2.vocabulary import PLANE_AXIS, WINDOWS_HU, Plane, Window

_DPI = 130
_INCHES = 2.6
_TITLE_INCHES = 0.3


@dataclass(frozen=True)
class Picture:
    """One picture of a strip.

    Attributes:
        volume: What is shown.
        title: What it is.
        mask: Drawn as a contour; None draws none.
        window: Contrast.
    """

    volume: CTVolume
    title: str
    mask: Bool[np.ndarray, "d h w"] | None = None
    window: Window = "lung"


def difference(first: CTVolume, second: CTVolume) -> CTVolume:
    """Return where two volumes differ as a volume to look at: none is black, 600 HU in the lung window is white."""
    apart = np.abs(first.hu.astype(np.int32) - second.hu.astype(np.int32))
    low, high = WINDOWS_HU["lung"]
    return CTVolume((low + np.minimum(apart, 600) * (high - low) / 600).astype(np.int16), first.affine_mm)


def strips_png(rows: Sequence[Sequence[Picture]], plane: Plane = "coronal") -> bytes:
    """Draw rows of pictures, each row through the middle of what its first mask asks for.

    Args:
        rows: Pictures on one grid; a row that is shorter than others leaves its end empty.
        plane: The plane.
    """
    columns = max(len(row) for row in rows)
    example = rows[0][0].volume
    high, wide = (
        size * step
        for axis, (size, step) in enumerate(zip(example.shape, example.spacing_mm, strict=True))
        if axis != PLANE_AXIS[plane]
    )
    tall = _INCHES * high / wide + _TITLE_INCHES
    figure = Figure(figsize=(_INCHES * columns, tall * len(rows)), facecolor="black")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, pictures in enumerate(rows):
        index = _middle(pictures, plane)
        for column in range(columns):
            axis = axes[row, column]
            axis.set_axis_off()
            if column < len(pictures):
                one = pictures[column]
                show_slice(axis, one.volume, plane, index, WINDOWS_HU[one.window], one.mask)
                axis.set_title(one.title, color="white", fontsize=8, pad=3)
    edge = _TITLE_INCHES / tall
    figure.subplots_adjust(
        left=0.003, right=0.997, top=1 - edge / len(rows), bottom=0.003, wspace=0.02, hspace=edge
    )
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(
        buffer, format="png", dpi=_DPI, facecolor=figure.get_facecolor(), metadata={"Software": None}
    )
    return buffer.getvalue()


def _middle(pictures: Sequence[Picture], plane: Plane) -> int:
    axis = PLANE_AXIS[plane]
    for one in pictures:
        if one.mask is not None and one.mask.any():
            return int(np.median(np.nonzero(one.mask)[axis]))
    return pictures[0].volume.shape[axis] // 2
