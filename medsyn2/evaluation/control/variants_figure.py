"""The main model and its variants side by side (Fig. 13), and the seams between their tokens.

Rows are cases; columns are the real volume and each model's volume of the same mask and seed. Below the first case,
maps show the step from each voxel to its neighbours, with a mark at each token's border. The curves below all cases
give the mean step by place in the token, in multiples of the mean within tokens: visible borders rise at the last
place.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.control.blockiness import Pitches
from medsyn2.page.figures import png_bytes, show_slice
from medsyn2.page.strips import Picture
from medsyn2.vocabulary import PLANE_AXIS, WINDOWS_HU, Plane

STEP_HU = 400
"""Step drawn as white."""
_DPI = 130
_INCHES = 2.6
_CURVES_INCHES = 2.8
_TITLE_INCHES = 0.3


Seams = list[list[Float[np.ndarray, " _p"]]]
"""Profiles of some volumes, as `medsyn2.evaluation.control.blockiness.profiles` gives them, an entry a volume."""


def mean_profile(seams: Seams) -> Float[np.ndarray, " p"]:
    """Return the mean profile over volumes and axes of the largest tokens, over its mean within tokens."""
    longest = max(len(one) for volume in seams for one in volume)
    mean = np.mean([one for volume in seams for one in volume if len(one) == longest], axis=0)
    return mean / mean[:-1].mean()


def steps(volume: CTVolume, plane: Plane) -> CTVolume:
    """Return the larger of the steps to the next voxel along the plane's axes, scaled to the lung window."""
    axes = [axis for axis in range(3) if axis != PLANE_AXIS[plane]]
    hu = volume.hu.astype(np.int32)
    apart = [np.abs(np.diff(hu, axis=axis, append=np.take(hu, [-1], axis=axis))) for axis in axes]
    low, high = WINDOWS_HU["lung"]
    seen = low + np.minimum(np.maximum(*apart), STEP_HU) * (high - low) / STEP_HU
    return CTVolume(seen.astype(np.int16), volume.affine_mm)


def variants_png(
    rows: Sequence[Sequence[Picture]], pitches: Pitches, seams: Mapping[str, Seams], plane: Plane = "coronal"
) -> bytes:
    """Draw the figure.

    Args:
        pitches: Voxels of a token along (depth, height, width).
        seams: By column, the profiles of its volumes.
    """
    columns = max(len(row) for row in rows)
    example = rows[0][0].volume
    deep, wide = (axis for axis in range(3) if axis != PLANE_AXIS[plane])
    extent = np.multiply(example.shape, example.spacing_mm)
    tall = _INCHES * extent[deep] / extent[wide] + _TITLE_INCHES
    maps = [Picture(steps(one.volume, plane), f"steps to neighbours, 0 to {STEP_HU} HU") for one in rows[0]]
    pictures = [list(rows[0]), maps, *map(list, rows[1:])]
    height = tall * len(pictures) + _CURVES_INCHES
    figure = Figure(figsize=(_INCHES * columns, height), layout="constrained")
    grid = figure.add_gridspec(len(pictures) + 1, columns, height_ratios=[*[tall] * len(pictures), _CURVES_INCHES])
    for row, shown in enumerate(pictures):
        for column, one in enumerate(shown):
            axis = figure.add_subplot(grid[row, column])
            index = one.volume.shape[PLANE_AXIS[plane]] // 2
            show_slice(axis, one.volume, plane, index, WINDOWS_HU[one.window])
            axis.set_title(one.title, fontsize=7)
            if row == 1:
                _mark_borders(axis, example.shape[deep], example.shape[wide], pitches[deep], pitches[wide])
    _draw_curves(figure.add_subplot(grid[len(pictures), :]), seams)
    return png_bytes(figure, _DPI)


def _mark_borders(axis: Axes, deep: int, wide: int, deep_pitch: int | None, wide_pitch: int | None) -> None:
    """Mark the borders between tokens at the edges of a slice."""
    style = {"color": "#ffb000", "linewidth": 1.0}
    for place in range(wide_pitch or wide, wide, wide_pitch or wide):
        axis.axvline(place - 0.5, 0.0, 0.04, **style)
        axis.axvline(place - 0.5, 0.96, 1.0, **style)
    for place in range(deep_pitch or deep, deep, deep_pitch or deep):
        axis.axhline(place - 0.5, 0.0, 0.04, **style)
        axis.axhline(place - 0.5, 0.96, 1.0, **style)


def _draw_curves(axis: Axes, seams: Mapping[str, Seams]) -> None:
    known = {name: one for name, one in seams.items() if any(one)}
    for name, one in known.items():
        curve = mean_profile(one)
        axis.plot(np.arange(1, len(curve) + 1), curve, marker="o", markersize=3, label=name)
    axis.axhline(1.0, color="#777777", linewidth=0.8, linestyle="--")
    axis.set(
        xlabel="voxels from the token's first; the last step crosses the border",
        ylabel="mean step over that\nwithin tokens",
    )
    axis.grid(alpha=0.3)
    if known:
        axis.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)
