"""Ground glass and consolidation: lung that is denser than it should be.

Both are looked for in the lungs' *hull*, their closing with a ball of several centimetres, because consolidated
lung that reaches the pleura is not part of the lungs as air shows them. The closing does not enter the heart
or the domes of the diaphragm: seen from the lung these are convex.

*Consolidation* is solid tissue in the hull that is neither fluid nor as thin as a vessel. *Ground glass* lies
between air and tissue, as does every voxel that holds a bit of both. Two facts part them: mixed voxels are a
thin layer, which an opening in grey values removes together with the vessels, and they follow solid tissue.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.morphology import (
    Box,
    Mask,
    bounding_box,
    close_mask,
    components,
    dilate,
    distance_mm,
    erode,
    open_mask,
    remove_small,
)
from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, Thorax
from medsyn2.types import Float

HULL_MM = 25.0
HULL_SPACING_MM = 5.0

SOLID_HU = (-250.0, 130.0)
VESSEL_MM = 5.0
CONSOLIDATION_ML = 4.0
THICK_MM = 8.5
CENTRAL_THICK_MM = 13.5
LATERAL = 0.42
"""Up to this share of the way to the side, a part as thick as a great vessel is taken for one."""
ROUND_SHARE = 0.45
MIN_MEAN_HU = -30.0
BEYOND_SHARE = 0.28
"""A part that borders on more tissue outside the hull than this belongs to it: heart, liver or a great vessel."""
NODULE_MM = 30.0

GLASS_HU = (-725.0, -250.0)
ABOVE_LUNG_HU = 110.0
GLASS_MM = 11.0
GLASS_ML = 3.0
RIM_MM = 6.0
BLUR_MM = 2.0


def lung_hull(thorax: Thorax, cage: Mask, fluid: Mask) -> Mask:
    """Return the lungs with the concavities filled that a ball of `HULL_MM` does not fit into, inside the ribs."""
    step = max(1, round(HULL_SPACING_MM / thorax.spacing_mm))
    is_left = np.arange(thorax.hu.shape[2]) > np.nonzero(thorax.lung)[2].mean()
    hull = thorax.lung.copy()
    for side in (LEFT, RIGHT):
        own = (thorax.lungs == side) | (fluid & (is_left == (side == LEFT)))
        coarse = close_mask(own[::step, ::step, ::step], HULL_MM, step * thorax.spacing_mm)
        fine = coarse.repeat(step, 0).repeat(step, 1).repeat(step, 2)
        offset = step // 2
        fine = np.pad(fine, [(0, step)] * 3, mode="edge")[offset:, offset:, offset:]
        hull |= fine[tuple(slice(0, n) for n in hull.shape)]
    return hull & cage & ~fluid


def find_consolidation(thorax: Thorax, cage: Mask, fluid: Mask) -> Mask:
    """Return consolidated lung; empty if there is none."""
    spacing = thorax.spacing_mm
    hull = lung_hull(thorax, cage, fluid)
    smooth, box = _smooth(thorax, hull)
    solid = np.zeros_like(hull)
    solid[box] = (smooth > SOLID_HU[0]) & (smooth < SOLID_HU[1]) & hull[box]
    depth = np.zeros(solid.shape, dtype=np.float32)
    around = bounding_box(cage)
    depth[around] = np.where(solid[around], distance_mm((cage & ~solid)[around], spacing), 0)
    labels, sizes = components(depth >= VESSEL_MM)
    beyond = cage & ~hull & (thorax.hu > SOLID_HU[0]) & ~fluid
    columns = np.flatnonzero(thorax.lung.any(axis=(0, 1)))
    middle, half_width = (columns[0] + columns[-1]) / 2, (columns[-1] - columns[0]) / 2
    kept = [False]
    for number in range(1, len(sizes) + 1):
        own = labels == number
        lateral = abs(float(np.nonzero(own)[2].mean()) - middle) / half_width
        thick_mm = float(depth[own].max())
        kept.append(
            thick_mm >= (THICK_MM if lateral >= LATERAL else CENTRAL_THICK_MM)
            and float(thorax.hu[own].mean()) > MIN_MEAN_HU
            and not _is_round(own, thick_mm, spacing)
            and _share_of_rim(beyond, own, solid, spacing) <= BEYOND_SHARE
        )
    found = dilate(np.array(kept)[labels], VESSEL_MM + spacing, spacing) & solid
    return remove_small(found, CONSOLIDATION_ML, spacing)


def _is_round(core: Mask, thick_mm: float, spacing_mm: float) -> bool:
    """Tell whether a core fills a ball of its own depth, and is no larger than a nodule."""
    ball_mm3 = 4.19 * (thick_mm - VESSEL_MM) ** 3
    return bool(thick_mm < NODULE_MM / 2 and ball_mm3 >= ROUND_SHARE * np.count_nonzero(core) * spacing_mm**3)


def _share_of_rim(mask: Mask, core: Mask, solid: Mask, spacing_mm: float) -> float:
    """Return the share of `mask` in the rim of the solid tissue at a core."""
    box = bounding_box(core, round(4 * VESSEL_MM / spacing_mm))
    whole = dilate(core[box], VESSEL_MM + spacing_mm, spacing_mm) & solid[box]
    rim = dilate(whole, 1.8 * spacing_mm, spacing_mm) & ~whole
    return float(mask[box][rim].mean())


def find_ground_glass(thorax: Thorax) -> Mask:
    """Return ground-glass opacities; empty if there are none."""
    spacing = thorax.spacing_mm
    lung = thorax.lung
    smooth, box = _smooth(thorax, lung)
    own = lung[box]
    air = smooth[own & (smooth < -600)]
    aerated_hu = float(np.percentile(air, 40)) if air.size else -850.0
    low_hu = max(GLASS_HU[0], aerated_hu + ABOVE_LUNG_HU)
    size = 2 * round(GLASS_MM / spacing / 2) + 1
    thick = ndimage.grey_opening(np.where(own, smooth, np.float32(-1000)), size=(size,) * 3)
    inner = erode(own, RIM_MM, spacing)
    seed = (thick > low_hu) & (thick < GLASS_HU[1]) & inner
    solid = open_mask(smooth > GLASS_HU[1], VESSEL_MM, spacing)
    allowed = own & (smooth > low_hu) & (smooth < GLASS_HU[1]) & ~dilate(solid, 2 * RIM_MM, spacing)
    seed &= ~dilate(solid, 2 * RIM_MM, spacing)
    seed = remove_small(open_mask(seed, RIM_MM, spacing), GLASS_ML, spacing)
    found = np.zeros_like(lung)
    found[box] = dilate(seed, RIM_MM, spacing) & allowed
    return found


def _smooth(thorax: Thorax, region: Mask) -> tuple[Float[np.ndarray, "box_d box_h box_w"], Box]:
    """Return the smoothed HU of the box around `region`, and the box."""
    box = bounding_box(region, margin_voxels=2)
    sigma = min(BLUR_MM / thorax.spacing_mm, 1.0) * 0.8
    return ndimage.gaussian_filter(thorax.hu[box].astype(np.float32), sigma, truncate=3.0), box
