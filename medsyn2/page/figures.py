"""Pictures of volumes and curves, as PNG that stands inside an HTML page.

Slices are shown as radiologists hold them: axial from below with the patient's right on the left of the
picture, coronal from the front, sagittal with anterior on the left. Pixels keep their millimetres. PNGs carry
no date and no version, so that equal runs give equal pages.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Num, Shaped
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsyn2.ct.intensity import apply_window
from medsyn2.ct.volume import CTVolume, Spacing
from medsyn2.vocabulary import PLANE_AXIS, WINDOWS_HU, Plane

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_DPI = 110
_REAL, _SYNTHETIC = "real", "SYNTHETIC"


@dataclass(frozen=True)
class Panel:
    """One synthetic volume to show beside the real one of its case."""

    real: CTVolume  # The registered CT
    synthetic: CTVolume  # The generated one, on the same grid
    # What was asked for, drawn as a contour on both; None if no mask was given
    mask: Bool[np.ndarray, "d h w"] | None = None
    # Colour of the contour
    colour: str = "#ffb000"


def panel_png(panel: Panel) -> str:
    """Draw real beside synthetic: a row a window, a pair of columns a plane, through the lungs' middle."""
    figure = Figure(figsize=(13, 9.2), facecolor="black")
    axes = figure.subplots(len(WINDOWS_HU), 2 * len(PLANES))
    centres = _centres(panel)
    for row, (window, limits_hu) in enumerate(WINDOWS_HU.items()):
        for column, plane in enumerate(PLANES):
            for offset, (name, volume) in enumerate(((_REAL, panel.real), (_SYNTHETIC, panel.synthetic))):
                axis = axes[row, 2 * column + offset]
                show_slice(axis, volume, plane, centres[plane], limits_hu, panel.mask, panel.colour)
                if row == 0:
                    axis.set_title(f"{plane}, {name}", color="white", fontsize=9)
                if column == offset == 0:
                    axis.text(-0.04, 0.5, window.replace("_", " "), color="white", rotation=90, fontsize=9,
                              va="center", ha="right", transform=axis.transAxes)  # fmt: skip
    figure.subplots_adjust(left=0.03, right=0.998, top=0.96, bottom=0.005, wspace=0.02, hspace=0.03)
    return data_url(png_bytes(figure, _DPI))


def show_slice(
    axis: Axes,
    volume: CTVolume,
    plane: Plane,
    index: int,
    limits_hu: tuple[float, float],
    mask: Bool[np.ndarray, "d h w"] | None = None,
    colour: str = "#ffb000",
) -> None:
    """Draw one slice of a volume into matplotlib axes, windowed, with the mask's contour over it."""
    image, aspect = _as_held(volume.hu, volume.spacing_mm, plane, index)
    axis.imshow(apply_window(image, limits_hu), cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="bilinear")
    if mask is not None:
        outline, _ = _as_held(mask, volume.spacing_mm, plane, index)
        if outline.any() and not outline.all():
            axis.contour(outline.astype(float), levels=[0.5], colors=colour, linewidths=0.7)
    axis.set_axis_off()


def curves_png(tables: Mapping[str, pd.DataFrame]) -> str:
    """Draw the losses of each training over its steps, smoothed, on a logarithmic axis where all are positive.

    Args:
        tables: By name of the stage, a table with the column ``step`` and those of `find_losses`.
    """
    figure = Figure(figsize=(11, 3.4))
    for axis, (name, table) in zip(np.atleast_1d(figure.subplots(1, len(tables))), tables.items(), strict=True):
        window = max(1, len(table) // 40)
        columns = find_losses(table)
        losses = table[columns]
        for index, column in enumerate(columns):
            axis.plot(table["step"], losses[column], color=f"C{index}", alpha=0.35, linewidth=0.7)
            mean = losses[column].rolling(window, min_periods=1).mean()
            axis.plot(table["step"], mean, color=f"C{index}", label=column.removesuffix("_loss"))
        # With a discriminator, the adversarial term may bring a loss below 0.
        scale = "linear" if (losses <= 0).any(axis=None) else "log"
        axis.set(title=name, xlabel="optimizer step", ylabel="loss", yscale=scale)
        axis.grid(alpha=0.3)
        if len(columns) > 1:
            axis.legend()
    figure.tight_layout()
    return data_url(png_bytes(figure, _DPI))


def find_losses(table: pd.DataFrame) -> list[str]:
    """Return the columns of a training's losses: ``loss``, or ``<network>_loss`` of each of several networks."""
    return [name for name in map(str, table.columns) if name == "loss" or name.endswith("_loss")]


def bars_png(names: Sequence[str], groups: Mapping[str, Sequence[float]], ylabel: str) -> str:
    """Draw grouped bars: a cluster a name, a bar a group."""
    figure = Figure(figsize=(max(5.0, 1.3 * len(names) + 2), 3.2))
    axis = figure.subplots()
    width = 0.8 / len(groups)
    for index, (label, values) in enumerate(groups.items()):
        places = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * width
        axis.bar(places, values, width, label=label)
    axis.set_xticks(np.arange(len(names)), names)
    axis.set_ylabel(ylabel)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axis.grid(axis="y", alpha=0.3)
    figure.tight_layout()
    return data_url(png_bytes(figure, _DPI))


def data_url(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _centres(panel: Panel) -> dict[Plane, int]:
    if panel.mask is not None and panel.mask.any():
        indices = [int(np.median(positions)) for positions in np.nonzero(panel.mask)]
    else:
        indices = [size // 2 for size in panel.real.shape]
    return {plane: indices[PLANE_AXIS[plane]] for plane in PLANES}


def _as_held(
    values: Num[np.ndarray, "d h w"] | Bool[np.ndarray, "d h w"], spacing_mm: Spacing, plane: Plane, index: int
) -> tuple[Shaped[np.ndarray, "a b"], float]:
    """Return a slice as it is looked at, and the ratio of its pixels' height to their width."""
    depth, height, width = spacing_mm
    image = values.take(index, axis=PLANE_AXIS[plane])
    if plane == "axial":
        return image, height / width
    return image[::-1], depth / (width if plane == "coronal" else height)


def png_bytes(figure: Figure, dpi: int) -> bytes:
    """Return a figure as a PNG without date and version."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()
