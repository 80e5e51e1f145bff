"""Vessels: the bright and thin structures inside the lungs.

The white top-hat of the CT is how far a voxel stands out from every surrounding brighter region that a cube of
15 mm fits into: vessels stand out from the lung, consolidation and effusion do not. Voxels that stand out enough
are vessels. The limit depends on the resolution, because blur takes contrast from thin vessels: it is a
fixed part of the contrast that the best hundredth of the lung has, within limits. The lungs' rim, the walls of
the large airways and bits that hang together with nothing are left out.

Source: white top-hat after Serra, "Image Analysis and Mathematical Morphology", 1982.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.morphology import Mask, bounding_box, close_mask, dilate, erode, open_mask, remove_small
from medsyn2.segmenters.classical.thorax import Thorax

WIDTH_MM = 15.0
RIM_MM = 3.0
WIDE_MM, WALL_MM = 4.0, 4.5
"""Radius of an airway whose wall could pass for a vessel, and how far the wall reaches."""
BEST_PERCENT = 99.0
PART = 0.75
CONTRAST_HU = (150.0, 350.0)
"""Least contrast of a vessel in a blurred and in a sharp volume."""
BIT_ML = 0.1


def find_vessels(thorax: Thorax, airways: Mask) -> Mask:
    """Return arteries and veins inside the lungs, together."""
    found = np.zeros(thorax.hu.shape, dtype=bool)
    spacing_mm = thorax.spacing_mm
    width = 2 * round(WIDTH_MM / spacing_mm / 2) + 1
    box = bounding_box(thorax.lung, width // 2 + 1)
    hu = thorax.hu[box]
    contrast_hu = hu - ndimage.grey_opening(hu, size=width).astype(np.float32)
    inner = erode(close_mask(thorax.lung[box], RIM_MM, spacing_mm), RIM_MM, spacing_mm)
    inner &= ~dilate(open_mask(airways[box], WIDE_MM, spacing_mm), WALL_MM, spacing_mm)
    if not inner.any():
        return found
    least_hu = np.clip(PART * np.percentile(contrast_hu[inner], BEST_PERCENT), *CONTRAST_HU)
    found[box] = remove_small(inner & (contrast_hu > least_hu), BIT_ML, spacing_mm)
    return found
