"""From label maps to the binary masks that condition the model.

A label map lies on the grid of the tool that made it. Each label is resampled as a 0/1 image, by linear interpolation
through the registration's transform, and holds a voxel where its share exceeds a threshold; on small nodules this
loses less than the nearest label.

Lobes touch each other, so their mask consists of boundaries (section 7.1 of the paper): every voxel with a face
neighbour of another label, the outside included, widened by a cube or a ball. They are computed on the model's grid,
after resampling, so that they are equally thick everywhere.
"""

from typing import Literal

import numpy as np
from scipy import ndimage

from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.morphology import dilate
from medsyn2.ct.volume import Affine, Grid, LabelMap, Spacing
from medsyn2.types import Bool, Shaped

BoundaryShape = Literal["cube", "ball"]


def labels_on_grid(
    label_map: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine, threshold: float
) -> Shaped[np.ndarray, "d h w"]:
    """Resample every label of a map to the grid, as uint8.

    Args:
        grid_to_source_lps_mm: World of the grid to world of the segmented CT.
        threshold: Share above which a voxel belongs to a label; of several such labels, the last one wins.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for label in label_map.names:
        one = LabelMap((label_map.labels == label).astype(np.uint8), label_map.affine_mm)
        labels[resample_mask(one, grid, grid_to_source_lps_mm, threshold)] = label
    return labels


def touching_labels_on_grid(
    label_map: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine, threshold: float
) -> Shaped[np.ndarray, "d h w"]:
    """Resample labels that fill a region together, without gaps between them.

    The threshold of `labels_on_grid` decides the region, and each of its voxels takes the nearest label.
    """
    region = LabelMap((label_map.labels > 0).astype(np.uint8), label_map.affine_mm)
    inside = resample_mask(region, grid, grid_to_source_lps_mm, threshold)
    # Two lobes that share a voxel half and half both miss the threshold, hence the nearest label below.
    labels = labels_on_grid(label_map, grid, grid_to_source_lps_mm, threshold)
    if not labels.any():
        return labels
    nearest = ndimage.distance_transform_edt(
        labels == 0, sampling=grid.spacing_mm, return_distances=False, return_indices=True
    )
    return np.where(inside, labels[tuple(nearest)], 0).astype(np.uint8)


def lobe_boundaries(
    labels: Shaped[np.ndarray, "d h w"], radius: int, shape: BoundaryShape = "cube"
) -> Bool[np.ndarray, "d h w"]:
    """Return the boundaries of a label map, widened by a cube or a ball, 2 x `radius` + 1 voxels across.

    A boundary voxel has a label and a face neighbour with another label or none. The volume's border is no boundary.

    Source: The paper, section 7.1 ("Mask Conditions"); its 3 x 3 x 3 cube is `radius` 1. The authors' code takes ITK's
    ball of `radius` 3, which holds the voxels up to `radius` + 1/2 from its centre.
    """
    boundary = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        differs = labels[tuple(low)] != labels[tuple(high)]
        boundary[tuple(low)] |= differs
        boundary[tuple(high)] |= differs
    boundary &= labels > 0
    if radius == 0:
        return boundary
    if shape == "ball":
        return dilate(boundary, radius + 0.5, 1.0)
    return ndimage.maximum_filter(boundary, size=2 * radius + 1, mode="constant", cval=False)


def volume_ml(mask: Bool[np.ndarray, "d h w"], spacing_mm: Spacing) -> float:
    """Return the volume of a mask in millilitres."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000
