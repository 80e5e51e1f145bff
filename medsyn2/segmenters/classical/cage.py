"""The inside of the rib cage, which holds the lungs, fluid or tissue in their place, and the mediastinum.

Lung masks end where air ends, so fluid and dense lung have to be looked for inside the ribs. An axial
section of the chest is star-shaped: every ray from its middle meets the wall once. Along each ray the wall is
the first bone behind the last air of the lung. Between two ribs a ray meets none there, so the table of the
wall's distance by slice and angle is completed from its neighbours.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.morphology import Mask
from medsyn2.segmenters.classical.thorax import Thorax
from medsyn2.types import Bool, Num

BONE_HU = 180.0
NUM_ANGLES = 120
BETWEEN_RIBS_MM = 9.0
LEVEL_MM = 30.0
INSIDE_SHARE = 0.7
"""Bone nearer to the middle than this share of the way to the outermost air is calcium, metal or contrast."""
RIB_MM = 12.0
"""A bone this much farther out than another one above or below it is the shoulder's."""
PLEURA_MM = 2.0
"""Thickness between the lung's edge and the cage's where no rib was met."""

_Table = Num[np.ndarray, "d angles"]


def inside_cage(thorax: Thorax) -> Mask:
    """Return the voxels that the ribs, the spine and the sternum enclose, slice by slice.

    The abdomen is part of it as far down as the ribs reach; slices beyond the lungs by more than the gap of
    two ribs are extrapolated.
    """
    spacing = thorax.spacing_mm
    height, width = thorax.hu.shape[1:]
    middle = thorax.middle()
    rows, columns = np.indices((height, width), dtype=np.float32)
    radius = np.hypot(rows - middle[0], columns - middle[1])
    turn = np.arctan2(rows - middle[0], columns - middle[1]) * np.float32(NUM_ANGLES / (2 * np.pi))
    wall = _wall_mm(thorax, middle) / spacing
    wall = np.concatenate([wall, wall[:, :1]], axis=1)
    turn = np.where(turn < 0, turn + NUM_ANGLES, turn)
    low = np.minimum(turn.astype(np.int32), NUM_ANGLES - 1)
    share = turn - low
    return radius < wall[:, low] * (1 - share) + wall[:, low + 1] * share


def _wall_mm(thorax: Thorax, middle: tuple[float, float]) -> _Table:
    """Return the distance of the wall from the middle, for each slice and angle."""
    height, width = thorax.hu.shape[1:]
    steps = np.arange(0.0, np.hypot(height, width) / 2)
    angles = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    rows = np.rint(middle[0] + np.sin(angles)[:, None] * steps).astype(int)
    columns = np.rint(middle[1] + np.cos(angles)[:, None] * steps).astype(int)
    within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    bone = (thorax.hu[:, rows, columns] > BONE_HU) & within
    lung = thorax.lung[:, rows, columns] & within
    last_lung = np.where(lung.any(axis=2), len(steps) - 1 - np.argmax(lung[:, :, ::-1], axis=2), 0)
    nearest = np.maximum(last_lung, INSIDE_SHARE * _expectation(last_lung, thorax.spacing_mm))
    behind = bone & (np.arange(len(steps)) > nearest[:, :, None])
    first_bone = np.where(behind.any(axis=2), np.argmax(behind, axis=2), 0)
    spacing = thorax.spacing_mm
    completed = _complete(first_bone * spacing, spacing)
    return np.maximum(completed, np.where(last_lung > 0, last_lung * spacing + PLEURA_MM, 0)).astype(np.float32)


def _expectation(last_lung: _Table, spacing_mm: float) -> _Table:
    """Return how far out air is met at about this level, on this side or the other.

    Calcium and metal far inside of that are no wall.
    """
    mirrored = np.roll(last_lung[:, ::-1], NUM_ANGLES // 2 + 1, axis=1)
    reach = 2 * round(LEVEL_MM / spacing_mm) + 1
    return ndimage.maximum_filter1d(np.maximum(last_lung, mirrored), reach, axis=0, mode="nearest")


def _complete(bone_mm: _Table, spacing_mm: float) -> _Table:
    """Return the wall's distance everywhere, from bones that are not far behind their neighbours."""
    reach = 2 * round(BETWEEN_RIBS_MM / spacing_mm) + 1
    inner = ndimage.minimum_filter1d(np.where(bone_mm > 0, bone_mm, np.inf), reach, axis=0, mode="nearest")
    known = (bone_mm > 0) & (bone_mm < inner + RIB_MM)
    return _spread(np.where(known, bone_mm, 0.0), known, spacing_mm)


def _spread(table: _Table, known: Bool[np.ndarray, "d angles"], spacing_mm: float) -> _Table:
    """Return `table` with unknown values filled from their surroundings, the nearer the more it counts."""
    result, weight = np.zeros_like(table), np.zeros_like(table)
    for widening in (1, 3, 9, 27):
        sigma = (widening * BETWEEN_RIBS_MM / 2 / spacing_mm, 0.8 * widening)
        share = ndimage.gaussian_filter(known.astype(float), sigma, mode=("nearest", "wrap"))
        total = ndimage.gaussian_filter(table, sigma, mode=("nearest", "wrap"))
        factor = 10.0 ** (-3 * np.log2(widening))
        result += factor * total
        weight += factor * share
    return result / np.maximum(weight, 1e-12)
