"""Putting a changed region into a CT, and measuring the seam.

Outside the region every voxel keeps its value and its type. Inside, the weight of the new value rises with the distance
from the region's outside, by a raised cosine from 0 to 1 over the *blend width*: both the values and their slope are
continuous at both ends. Where the array ends there is no outside, and no blend.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from scipy import ndimage

from medsyn2.ct.affines import Spacing
from medsyn2.ct.geometry import grid_of_box, resample_ct
from medsyn2.ct.morphology import bounding_box
from medsyn2.ct.volume import Affine, CTVolume
from medsyn2.types import Bool, Float, Num

Mask = Bool[np.ndarray, "d h w"]


@dataclass(frozen=True)
class Seam:
    """Mean absolute differences of neighbouring voxels, in HU; NaN where there are none."""

    across_hu: float  # One of them inside the region, the other outside
    within_hu: float  # Both inside
    around_hu: float  # Both outside, in the box around the region

    @property
    def ratio(self) -> float:
        """The border's over the mean of both sides': 1 is no seam; NaN where both sides are flat."""
        beside_hu = (self.within_hu + self.around_hu) / 2
        return self.across_hu / beside_hu if beside_hu > 0 else nan


def blend_weights(region: Mask, spacing_mm: Spacing, width_mm: float) -> Float[np.ndarray, "d h w"]:
    """Return the weight of the new values: 0 outside the region, 1 from `width_mm` inside its border on."""
    if region.all():
        return np.ones(region.shape, np.float32)
    # The border lies half a voxel outside the outermost centres; the nearest outer centre is a voxel away.
    depth_mm = ndimage.distance_transform_edt(region, sampling=spacing_mm)
    share = np.clip((depth_mm - min(spacing_mm) / 2) / max(width_mm, min(spacing_mm) / 2), 0.0, 1.0)
    return np.where(region, np.sin(share * (np.pi / 2)) ** 2, 0.0).astype(np.float32)


def insert(
    ct: CTVolume, made: CTVolume, region: Mask, ct_to_made_lps_mm: Affine | None, *, blend_mm: float
) -> CTVolume:
    """Return a CT with the voxels of a region taken from another volume, blended inside the region's border.

    Args:
        made: The new values, on any grid; beyond it the CT stays as it is.
        ct_to_made_lps_mm: World of the CT to world of `made`; None is the identity.
        blend_mm: Width of the blend.
    """
    hu = ct.hu.copy()
    if region.any():
        box = bounding_box(region, 1)
        grid = grid_of_box(ct.grid, box)
        weights = blend_weights(region[box], ct.spacing_mm, blend_mm)
        beyond = float(made.hu.min()) - 1
        new = resample_ct(made, grid, ct_to_made_lps_mm, outside_hu=beyond).hu
        changed = (weights > 0) & (new > beyond)
        old, part = ct.hu[box], hu[box]
        mixed = old[changed] + weights[changed] * (new[changed].astype(np.float32) - old[changed])
        if hu.dtype.kind != "f":
            ends = np.iinfo(hu.dtype)
            mixed = np.clip(np.rint(mixed), ends.min, ends.max)
        part[changed] = mixed
    return CTVolume(hu, ct.affine_mm, is_synthetic=True)


def measure_seam(hu: Num[np.ndarray, "d h w"], region: Mask) -> Seam:
    """Compare the differences of face neighbours across a region's border with those on both sides of it."""
    box = bounding_box(region, 4)
    inside, values = region[box], hu[box].astype(np.float32)
    sums, counts = np.zeros(3), np.zeros(3, np.int64)
    for axis in range(3):
        apart = np.abs(np.diff(values, axis=axis))
        both = np.delete(inside, -1, axis).astype(np.int8) + np.delete(inside, 0, axis)
        for kind in range(3):
            sums[kind] += float(apart[both == kind].sum(dtype=np.float64))
            counts[kind] += int(np.count_nonzero(both == kind))
    around, across, within = (float(total / count) if count else nan for total, count in zip(sums, counts, strict=True))
    return Seam(across, within, around)
