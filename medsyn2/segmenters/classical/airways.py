"""Airways: from the trachea downwards, as far as their air is told from the lung's.

The trachea is the stack of round spots of air above the lungs. Large bronchi are empty where lung is not, so the
region grows from it through air below a threshold that rises step by step. Smaller bronchi are not darker than
the lung at the resolution of a few millimetres, but darker than their own walls and the vessels beside them:
they are valleys, whose depth a grey-scale closing shows; the region goes on growing
along valleys whose depth may fall step by step. Each growth stops before the step with which it explodes: there
it has left the bronchi for the lung, or for the gaps between vessels.

Source: Mori et al., "Recognition of bronchus in three-dimensional X-ray CT images", ICPR 1996 (relaxing a
threshold until the volume explodes); Pisupati et al., "Segmentation of 3D pulmonary trees using mathematical
morphology", 1996 (closings that find bronchi).
"""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from medsyn2.ct.lungs import body_air, find_trachea, smooth_hu
from medsyn2.ct.morphology import Mask, bounding_box, close_mask, touching_components
from medsyn2.segmenters.classical.thorax import Thorax
from medsyn2.types import Bool

LUMEN_HU = -550.0
EMPTY_HU = np.arange(-980.0, -880.0, 10.0)
"""Thresholds of the first growth."""
RIM_HU = -700.0
"""The blurred rim, one voxel wide, of the first growth inside the lungs."""
VALLEY_HU = np.arange(400.0, 100.0, -20.0)
"""Least depths of a valley of the second growth."""
VALLEY_WIDTH_MM = 8.0
EXPLOSION_ML = 6.0
MAX_GROWTH = 2.2
"""Largest volume of a growth in multiples of its start."""
HILUM_MM = 9.0


def find_airways(thorax: Thorax) -> Bool[np.ndarray, "d h w"]:
    """Return the air of the trachea and of the bronchi that can be followed from it."""
    found = np.zeros(thorax.hu.shape, dtype=bool)
    spacing_mm = thorax.spacing_mm
    smooth = smooth_hu(thorax.hu, spacing_mm)
    inside = body_air(smooth, spacing_mm).inside
    box = bounding_box(inside | thorax.lung)
    hu, lung, smooth, inside = thorax.hu[box], thorax.lung[box], smooth[box], inside[box]
    trachea = find_trachea(inside, spacing_mm) & (hu < LUMEN_HU)
    if not trachea.any():
        return found
    empty = (inside & (smooth < threshold) for threshold in EMPTY_HU)
    central = _grown(trachea, empty, spacing_mm)
    central = ndimage.binary_dilation(central, mask=central | (hu < np.where(lung, RIM_HU, LUMEN_HU)))
    width = max(2 * round(VALLEY_WIDTH_MM / spacing_mm / 2) + 1, 3)
    depth_hu = ndimage.grey_closing(hu, size=width).astype(np.float32) - hu
    possible = (hu < LUMEN_HU) & close_mask(lung, HILUM_MM, spacing_mm)
    valleys = (possible & (depth_hu > least) for least in VALLEY_HU)
    found[box] = _grown(central, valleys, spacing_mm)
    return found


def _grown(seed: Mask, regions: Iterable[Mask], spacing_mm: float) -> Mask:
    """Return `seed` grown through one region after the other, each wider than the last, until it explodes."""
    grown, most = seed, MAX_GROWTH * np.count_nonzero(seed)
    for region in regions:
        wider = touching_components(region | seed, seed)
        added_ml = (np.count_nonzero(wider) - np.count_nonzero(grown)) * spacing_mm**3 / 1000
        if added_ml > EXPLOSION_ML or np.count_nonzero(wider) > most:
            break
        grown = wider
    return grown
