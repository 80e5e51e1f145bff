"""A sheet of synthetic volumes, each with its nearest training volume.

A person sees in a second whether two CTs are of one patient; no number replaces that look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from medsyn2.ct.volume import CTVolume
from medsyn2.page.figures import PLANES, png_bytes, show_slice
from medsyn2.vocabulary import PLANE_AXIS, WINDOWS_HU

_DPI = 100
_ROW_INCHES = 2.0
_EDGE_INCHES = 0.3


@dataclass(frozen=True)
class Pair:
    """A synthetic volume and its nearest training volume."""

    synthetic: CTVolume  # The generated one
    training: CTVolume  # The real one
    caption: str  # Names and distance of the two


def pairs_png(pairs: Sequence[Pair]) -> bytes:
    """Draw a row a pair: three planes through the middle, the synthetic volume left of the training one."""
    height = _ROW_INCHES * len(pairs) + 2 * _EDGE_INCHES
    figure = Figure(figsize=(12.5, height), facecolor="black")
    axes = np.atleast_2d(figure.subplots(len(pairs), 2 * len(PLANES)))
    for row, pair in enumerate(pairs):
        for column, plane in enumerate(PLANES):
            for side, volume in enumerate((pair.synthetic, pair.training)):
                middle = volume.shape[PLANE_AXIS[plane]] // 2
                axis = axes[row, 2 * column + side]
                show_slice(axis, volume, plane, middle, WINDOWS_HU["lung"])
                if row == 0:
                    axis.set_title("SYNTHETIC" if side == 0 else "nearest in training", color="white", fontsize=8)
        axes[row, 0].text(
            0, -0.02, pair.caption, color="#ffb000", fontsize=7, va="top", transform=axes[row, 0].transAxes
        )
    edge = _EDGE_INCHES / height
    figure.subplots_adjust(left=0.002, right=0.998, top=1 - edge, bottom=edge, wspace=0.02, hspace=0.18)
    return png_bytes(figure, _DPI)
