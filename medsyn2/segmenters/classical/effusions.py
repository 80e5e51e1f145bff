"""Fluid in the chest: pleural and pericardial effusion.

Fluid is the tissue of the chest that is neither fat (-100 HU) nor solid (muscle, blood, liver: 40 HU and more).
The means of the two differ by less than the noise of one voxel, so the image is averaged first, and only over
soft tissue: at a border with lung, fat or bone a plain average would pass through the values of fluid. What
decides then is the place, because other things have the density of fluid too, such as the stomach's contents.
Pleural fluid of a patient on the back lies against the back of the rib cage and beside the lung; pericardial
fluid surrounds the heart: from its own centre it is seen in most directions, and the centre is solid.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medsyn2.ct.morphology import Mask, bounding_box, components, depth_mm, dilate, distance_mm, erode
from medsyn2.segmenters.classical.thorax import Thorax
from medsyn2.types import Bool, Float

SOFT_HU = (-60.0, 130.0)
FLUID_HU = (-15.0, 26.0)
SOLID_HU = 28.0
AVERAGE_MM = 4.0
LEAST_SHARE = 0.05
"""Share of soft tissue in an average below which it says nothing."""
CORE_MM = 5.0
FATLESS_HU = -20.0
"""Erosion that parts one collection of fluid from another and from thin layers of mixed voxels."""

PLEURAL_ML = 12.0
PLEURAL_DEPTH_MM = 5.0
AT_WALL_MM = 9.0
WALL_SHARE = 0.04
SPINE_SHARE = 0.33
AT_LUNG_MM = 9.0

PERICARDIAL_ML = 12.0
NUM_DIRECTIONS = 24
SEEN_SHARE = 0.6
HEART_MM = 12.0
"""Radius of the ball around the centre of pericardial fluid that has to be solid."""


@dataclass(frozen=True)
class _Fluid:
    """The voxels inside the rib cage that have the density of fluid."""

    mask: Mask  # All of it
    pure: Mask  # Without the voxels that hold some fat, whose thin sheets part pleura and pericardium
    solid: Mask  # Soft tissue that is denser


def find_pleural_effusion(thorax: Thorax, cage: Mask) -> Mask:
    """Return the fluid between lung and chest wall; empty if there is none."""
    spacing = thorax.spacing_mm
    fluid = _find_fluid(thorax, cage)
    at_lung = dilate(thorax.lung, AT_LUNG_MM, spacing)
    at_wall = ~erode(cage, AT_WALL_MM, spacing) & _near_spine(thorax)
    core = erode(fluid.pure, CORE_MM, spacing)
    depth = depth_mm(fluid.mask, spacing)
    labels, sizes = components(core)
    kept = [False]
    for number, size in enumerate(sizes, start=1):
        own = labels == number
        kept.append(
            size * spacing**3 >= PLEURAL_ML * 300
            and float(depth[own].max()) >= PLEURAL_DEPTH_MM
            and float(at_wall[own].mean()) >= WALL_SHARE
            and bool(at_lung[own].any())
        )
    return _grown(np.array(kept)[labels], core, fluid, PLEURAL_ML, spacing)


def _near_spine(thorax: Thorax) -> Bool[np.ndarray, "1 h w"]:
    """Return the back half of the chest without the part in front of the spine."""
    rows, columns = (np.flatnonzero(thorax.lung.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    height, width = thorax.hu.shape[1:]
    behind = np.arange(height) > (rows[0] + rows[-1]) / 2
    off = np.abs(np.arange(width) - (columns[0] + columns[-1]) / 2)
    return (behind[:, None] & (off > SPINE_SHARE * (columns[-1] - columns[0]) / 2))[None]


def find_pericardial_effusion(thorax: Thorax, cage: Mask) -> Mask:
    """Return the fluid around the heart; empty if there is none."""
    spacing = thorax.spacing_mm
    fluid = _find_fluid(thorax, cage)
    core = erode(fluid.pure, CORE_MM, spacing)
    labels, sizes = components(core)
    kept = [False]
    for number, size in enumerate(sizes, start=1):
        kept.append(
            size * spacing**3 >= PERICARDIAL_ML * 300 and _surrounds_solid(labels == number, fluid.solid, spacing)
        )
    return _grown(np.array(kept)[labels], core, fluid, PERICARDIAL_ML, spacing)


def _find_fluid(thorax: Thorax, cage: Mask) -> _Fluid:
    spacing = thorax.spacing_mm
    box = bounding_box(cage)
    hu = thorax.hu[box].astype(np.float32)
    mean_hu, soft = _soft_mean(hu, spacing)
    candidate = soft & cage[box] & ~thorax.lung[box]
    mask, pure, solid = (np.zeros_like(cage) for _ in range(3))
    mask[box] = candidate & (mean_hu > FLUID_HU[0]) & (mean_hu < FLUID_HU[1])
    pure[box] = mask[box] & (ndimage.gaussian_filter(hu, 0.6) > FATLESS_HU)
    solid[box] = candidate & (mean_hu > SOLID_HU)
    return _Fluid(mask, pure, solid)


def _soft_mean(hu: Float[np.ndarray, "d h w"], spacing_mm: float) -> tuple[Float[np.ndarray, "d h w"], Mask]:
    """Return the average of the soft tissue around each voxel, and where there is enough of it."""
    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    sure = erode(soft, spacing_mm, spacing_mm)
    sigma = AVERAGE_MM / spacing_mm
    share = ndimage.gaussian_filter(sure.astype(np.float32), sigma, truncate=2.5)
    total = ndimage.gaussian_filter(np.where(sure, hu, np.float32(0)), sigma, truncate=2.5)
    return total / np.maximum(share, np.float32(1e-3)), soft & (share > LEAST_SHARE)


def _surrounds_solid(own: Mask, solid: Mask, spacing_mm: float) -> bool:
    """Tell whether `own` is seen in most directions of the axial plane from a centre that is solid."""
    where = np.argwhere(own)
    centre = where.mean(axis=0)
    box = tuple(slice(max(round(c - HEART_MM / spacing_mm), 0), round(c + HEART_MM / spacing_mm) + 1) for c in centre)
    if float(solid[box].mean()) < 0.7:
        return False
    angle = np.arctan2(where[:, 1] - centre[1], where[:, 2] - centre[2])
    sector = ((angle / (2 * np.pi) + 0.5) * NUM_DIRECTIONS).astype(int) % NUM_DIRECTIONS
    return float(np.count_nonzero(np.bincount(sector, minlength=NUM_DIRECTIONS))) >= SEEN_SHARE * NUM_DIRECTIONS


def _grown(kept: Mask, core: Mask, fluid: _Fluid, min_ml: float, spacing_mm: float) -> Mask:
    """Return the fluid near the cores in `kept`, nearer than to the other cores."""
    if not kept.any():
        return kept
    reach_mm = CORE_MM + 1.5 * spacing_mm
    near_mm = distance_mm(kept, spacing_mm)
    grown = fluid.mask & (near_mm <= reach_mm) & (near_mm <= distance_mm(core & ~kept, spacing_mm))
    too_little = np.count_nonzero(grown) * spacing_mm**3 < min_ml * 1000
    return np.zeros_like(grown) if too_little else grown
