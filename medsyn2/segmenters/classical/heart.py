"""The heart: the large soft organ between the lungs, in front of the spine and above the diaphragm.

Without weights it is found by where it must be. In each axial slice the mediastinum is the region between the
lungs; from it bone, fat and all behind the front of the spine are removed, then thin parts (big
vessels, the oesophagus) falls to an opening. Above, it ends at the height where the airways branch or, if none
are found, in the upper part of the lungs; below, at the dome of the diaphragm, beyond which the same density is
liver. The largest piece is the heart with its blood; contrast agent is allowed for.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.morphology import close_mask, erode, fill_holes, largest_component, open_mask
from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, Thorax
from medsyn2.types import Bool, Int, Shaped

SOFT_HU = (0.0, 500.0)
SMOOTHING_MM = 1.5
OPENING_MM = 20.0
CLOSING_MM = 6.0
TOP_SHARE = 0.62
BELOW_DOME_MM = 12.0
RIM_MM = 15.0
SPINE_HU = 160.0
MIN_ML = 60.0


def find_heart(thorax: Thorax) -> Bool[np.ndarray, "d h w"]:
    """Return the heart, or nothing if there is no organ of at least 60 ml where it should be."""
    spacing_mm = thorax.spacing_mm
    region = _between_lungs(thorax.lungs)
    low, high = _levels(thorax)
    region[:low] = False
    region[high:] = False
    region[:, _front_of_spine(thorax, low, high) :] = False
    smooth = ndimage.gaussian_filter(thorax.hu.astype(np.float32), SMOOTHING_MM / spacing_mm)
    soft = region & (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1]) & ~thorax.lung
    heart = largest_component(open_mask(soft, OPENING_MM, spacing_mm))
    if heart.sum() * spacing_mm**3 < MIN_ML * 1000:
        return np.zeros_like(soft)
    return fill_holes(close_mask(heart, CLOSING_MM, spacing_mm) & soft)


def _between_lungs(lungs: Shaped[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    """Return the voxels that have the right lung to their right and the left lung to their left.

    In rows that one lung does not reach, its innermost voxel of the slice stands for it.
    """
    width = lungs.shape[2]
    right_ends = _last(lungs == RIGHT)
    left_starts = width - 1 - _last((lungs == LEFT)[:, :, ::-1])
    columns = np.arange(width)
    return (columns > right_ends[..., None]) & (columns < left_starts[..., None])


def _last(mask: Bool[np.ndarray, "d h w"]) -> Int[np.ndarray, "d h"]:
    """Return, for each row, the last column of the mask; of rows without any, the median of their slice or of all.

    An effusion can take the place of the whole base of a lung.
    """
    columns = np.arange(mask.shape[2])
    ends = np.where(mask, columns, -1).max(axis=2)
    everywhere = int(np.median(ends[ends >= 0])) if (ends >= 0).any() else mask.shape[2]
    for row in ends:
        found = row >= 0
        row[~found] = int(np.median(row[found])) if found.any() else everywhere
    return ends


def _levels(thorax: Thorax) -> tuple[int, int]:
    """Return the slices from which and to which the heart can reach."""
    slices = np.flatnonzero(thorax.lung.any(axis=(1, 2)))
    bottom, top = int(slices[0]), int(slices[-1])
    dome = _dome(thorax, bottom)
    low = max(dome - round(BELOW_DOME_MM / thorax.spacing_mm), bottom)
    return low, bottom + round(TOP_SHARE * (top - bottom)) + 1


def _dome(thorax: Thorax, bottom: int) -> int:
    """Return the slice of the right diaphragm's dome: where the right lung begins over the middle of its base.

    Near the footprint's rim the lung begins higher up, at the hilum or the apex, so the rim is left out.
    """
    lung = thorax.lungs == RIGHT
    footprint = erode(lung.any(axis=0)[None], RIM_MM, thorax.spacing_mm)[0]
    return int(np.median(np.argmax(lung, axis=0)[footprint])) if footprint.any() else bottom


def _front_of_spine(thorax: Thorax, low: int, high: int) -> int:
    """Return the row of the vertebral bodies' front, from bone in the middle of the chest's rear half.

    The middle is that of the lungs' volume. Where one lung is so small that this lies beside the spine, no bone is met
    before the lungs end, and the middle between their outer borders is taken.
    """
    _, rows, columns = np.nonzero(thorax.lung)
    rear, end = round(float(np.median(rows))), int(rows.max())
    reach = max(round(12.0 / thorax.spacing_mm), 1)
    for middle in (round(float(np.median(columns))), round(thorax.middle()[1])):
        block = thorax.hu[low:high, rear:end, middle - reach : middle + reach + 1]
        bone = np.flatnonzero((block > SPINE_HU).mean(axis=(0, 2)) > 0.25)
        if len(bone):
            return rear + int(bone[0])
    return thorax.hu.shape[1]
