"""How far two binary masks agree: Dice, Jaccard and the distances of their surfaces.

The surface of a mask is its voxels with a face neighbour outside it. From every surface voxel of one mask the
distance to the nearest surface voxel of the other is taken, both ways: HD95 is the larger of the two 95th
percentiles, ASD the mean of all distances (also called ASSD). Both are in mm.

Two empty masks agree about nothing: every value is undefined (NaN), and such pairs are counted apart. One
empty mask is a miss: the overlaps are 0 and the distances undefined. Nothing is imputed.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medsyn2.ct.volume import Spacing


@dataclass(frozen=True)
class Overlap:
    """Agreement of two masks; see the module docstring for what is undefined when.

    Attributes:
        dice: 2 |A and B| / (|A| + |B|).
        jaccard: |A and B| / |A or B|.
        hd95_mm: Larger of the two directed 95th percentiles.
        asd_mm: Mean of all surface distances, both ways.
        missed: Whether exactly one mask is empty.
    """

    dice: float
    jaccard: float
    hd95_mm: float
    asd_mm: float
    missed: bool


def overlap(
    first: Bool[np.ndarray, "d h w"], second: Bool[np.ndarray, "d h w"], spacing_mm: Spacing
) -> Overlap:
    """Compare two masks on one grid.

    Args:
        first: A mask.
        second: The other one.
        spacing_mm: Spacing of the grid.
    """
    total = int(first.sum()) + int(second.sum())
    if total == 0:
        return Overlap(nan, nan, nan, nan, missed=False)
    common = int((first & second).sum())
    dice = 2 * common / total
    if not first.any() or not second.any():
        return Overlap(dice, 0.0, nan, nan, missed=True)
    there, back = surface_distances(first, second, spacing_mm)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return Overlap(
        dice,
        common / (total - common),
        float(hd95),
        float(np.concatenate([there, back]).mean()),
        missed=False,
    )


def surface_distances(
    first: Bool[np.ndarray, "d h w"], second: Bool[np.ndarray, "d h w"], spacing_mm: Spacing
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """Return, in mm, the distance of each surface voxel of one mask to the other's surface, both ways.

    Only the box that holds both masks is looked at: no nearest surface lies outside it.
    """
    box = ndimage.find_objects((first | second).astype(np.uint8))[0]
    surface_1, surface_2 = (_surface(np.pad(mask[box], 1)) for mask in (first, second))
    to_1 = ndimage.distance_transform_edt(~surface_1, sampling=spacing_mm)
    to_2 = ndimage.distance_transform_edt(~surface_2, sampling=spacing_mm)
    return to_2[surface_1], to_1[surface_2]


def _surface(mask: Bool[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    return mask & ~ndimage.binary_erosion(mask)
