"""Overlay picture of a case: outlines of masks over the CT in three planes. Equal input gives equal bytes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medsyn2.ct.planes import DPI, plot_planes
from medsyn2.ct.volume import CTVolume
from medsyn2.types import Bool

WINDOW_HU = (-1100.0, 400.0)


def save_overlay(
    path: Path | str, volume: CTVolume, contours: Mapping[str, Bool[np.ndarray, "d h w"]], title: str
) -> None:
    """Write a PNG of a CT in three planes with the outline of each mask.

    Args:
        contours: Masks on the volume's grid by their name in the legend; empty ones are omitted.
    """
    figure = plot_planes(volume.hu, volume.spacing_mm, contours, title, WINDOW_HU)
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
