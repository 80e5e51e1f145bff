"""A generated volume on another grid than its model's: that of a file, or the model's box at another spacing.

There is one resampling, of the finished volume and of its mask. Where the new grid exceeds the model's, nothing was
generated: there is air, and the share is said. A finer grid adds interpolation, not detail.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from medsyn2.ct.affines import format_mm
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.nifti.header import MAX_VOXELS
from medsyn2.ct.registration.affine import resample_to_grid
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.errors import CaseError, ConfigError, MaskError
from medsyn2.formats import read_ct, read_labels

AIR_HU = -1024
_SPACING_MM = (0.1, 20.0)
"""From a tenth of the sharpest CTs' voxels to a thorax of 15 slices; beyond it a unit was mistaken."""


@dataclass(frozen=True, eq=False)
class Regridded:
    """A volume and its mask on another grid."""

    volume: CTVolume
    mask: Bool[np.ndarray, "d h w"] | None
    padded_share: float  # Of the voxels, those beyond the model's grid

    def to_json(self) -> dict[str, Any]:
        """Return the grid and the resampling, for the sidecar."""
        grid = self.volume.grid
        return {
            "shape": list(grid.shape),
            "affine_mm": grid.affine_mm.tolist(),
            "interpolation": "linear, after averaging where the grid is coarser; the mask's indicator cut at one half",
            "padded_percent": round(100 * self.padded_share, 3),
        }


def grid_of_file(path: Path) -> Grid:
    """Return the grid of a volume or a mask.

    Raises:
        CaseError: If it cannot be read.
    """
    try:
        return read_ct(path).grid
    except CaseError as error:
        if error.code != "dicom-no-ct":
            raise
        return read_labels(path).grid  # a DICOM segmentation


def grid_of_spacing(grid: Grid, spacing_mm: tuple[float, ...]) -> Grid:
    """Return the grid of another spacing in the box of `grid`, or up to a voxel beyond it.

    Args:
        spacing_mm: One number for all axes, or depth, height, width.

    Raises:
        ConfigError: If it is no spacing of a CT.
    """
    low, high = _SPACING_MM
    if len(spacing_mm) not in (1, 3) or not all(low <= one <= high for one in spacing_mm):
        raise ConfigError(
            f"expected one spacing or three, from {low:g} to {high:g} mm, got {format_mm(list(spacing_mm))}.",
            code="spacing-invalid",
            remedy="give one number, or those of depth, height and width, in mm.",
        )
    wanted = np.array(spacing_mm * (3 // len(spacing_mm)))
    size_mm = np.array(grid.shape) * grid.spacing_mm
    depth, height, width = (ceil(one - 1e-6) for one in size_mm / wanted)
    scale = wanted / grid.spacing_mm
    to_source = np.diag([*scale, 1.0])
    to_source[:3, 3] = (np.array(grid.shape) - 1) / 2 - scale * (np.array((depth, height, width)) - 1) / 2
    return Grid((depth, height, width), grid.affine_mm @ to_source)


def check_grid(grid: Grid, model: Grid) -> None:
    """Refuse a grid on which nothing of the model's would be seen, or which no file holds.

    Raises:
        MaskError: If it lies elsewhere in space.
        ConfigError: If it has too many voxels.
    """
    if np.prod(grid.shape, dtype=float) > MAX_VOXELS:
        raise ConfigError(
            f"expected a grid of at most {MAX_VOXELS:,} voxels, got {grid}.",
            code="grid-too-large",
            remedy="give a coarser spacing.",
        )
    if share_beyond(grid, model) == 1:
        raise MaskError(
            f"expected a grid that reaches into the model's, {model}, got one beside it: {grid}.",
            code="grid-elsewhere",
            remedy="register the file to the model's template first; the model's grid is pipeline.grid.",
        )


def regrid(volume: CTVolume, mask: Bool[np.ndarray, "d h w"] | None, grid: Grid) -> Regridded:
    """Bring a volume and its mask to a grid, each in one resampling."""
    moved = resample_to_grid(volume, grid, np.eye(4), outside_hu=AIR_HU)
    placed = None if mask is None else resample_mask(LabelMap(mask, volume.affine_mm), grid)
    return Regridded(moved, placed, share_beyond(grid, volume.grid))


def share_beyond(grid: Grid, model: Grid) -> float:
    """Return the share of a grid's voxels whose centres lie outside the model's voxels."""
    to_model = np.linalg.inv(model.affine_mm) @ grid.affine_mm
    inside = 0
    height, width = (axis.ravel() for axis in np.meshgrid(*map(np.arange, grid.shape[1:]), indexing="ij"))
    plane = to_model[:3, 1:3] @ np.stack([height, width]).astype(float) + to_model[:3, 3:]
    limit = np.array(model.shape)[:, None] - 0.5
    for depth in range(grid.shape[0]):  # a slice at a time: the indices of a whole volume are four times its size
        index = plane + depth * to_model[:3, :1]
        inside += int(((index >= -0.5) & (index <= limit)).all(axis=0).sum())
    return 1 - inside / float(np.prod(grid.shape))
