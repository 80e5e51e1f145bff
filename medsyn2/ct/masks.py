"""From label maps to the binary masks that condition the model.

A label map comes on the grid of the tool that made it. Each label is brought to the model's grid as a 0/1
image, by linear interpolation through the registration's transform, and where its share is above a threshold
it holds the voxel: on small nodules that loses less than taking the nearest label. Of several labels the one
with the largest share wins.

Lobes touch each other, so their mask is made of boundaries (section 7.1 of the paper): every voxel with a face
neighbour of another label, the outside included, widened to a cube. They are taken on the model's grid, after
resampling, so that they are equally thick everywhere.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.volume import Affine, Grid, LabelMap, Spacing
from medsyn2.types import Bool, Shaped


def labels_on_grid(
    label_map: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine, threshold: float
) -> Shaped[np.ndarray, "d h w"]:
    """Bring every label of a map to the grid.

    Args:
        label_map: Labels on the tool's own grid.
        grid: The model's grid.
        grid_to_source_lps_mm: Takes a point of the grid to the CT that was segmented.
        threshold: Share from which a voxel belongs to any label.

    Returns:
        Labels as uint8; where two labels both exceed the threshold, the later one of the map's names.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for label in label_map.names:
        one = LabelMap((label_map.labels == label).astype(np.uint8), label_map.affine_mm)
        labels[resample_mask(one, grid, grid_to_source_lps_mm, threshold)] = label
    return labels


def touching_labels_on_grid(
    label_map: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine, threshold: float
) -> Shaped[np.ndarray, "d h w"]:
    """Bring labels that fill a region together to the grid, without gaps between them.

    Where the region is decided as in `labels_on_grid`, and each voxel of it takes the label nearest to it: two
    lobes that share a voxel half and half would both miss the threshold.
    """
    region = LabelMap((label_map.labels > 0).astype(np.uint8), label_map.affine_mm)
    inside = resample_mask(region, grid, grid_to_source_lps_mm, threshold)
    labels = labels_on_grid(label_map, grid, grid_to_source_lps_mm, threshold)
    if not labels.any():
        return labels
    nearest = ndimage.distance_transform_edt(
        labels == 0, sampling=grid.spacing_mm, return_distances=False, return_indices=True
    )
    return np.where(inside, labels[tuple(nearest)], 0).astype(np.uint8)


def lobe_boundaries(labels: Shaped[np.ndarray, "d h w"], radius: int) -> Bool[np.ndarray, "d h w"]:
    """Return the boundaries of a label map, widened by a cube of 2 x `radius` + 1 voxels.

    A voxel lies on a boundary if it has a label and a face neighbour with another one or none. The volume's
    own border is no boundary.

    Source:
        The paper, section 7.1 ("Mask Conditions"); its 3 x 3 x 3 cube is `radius` 1.
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
    return ndimage.maximum_filter(boundary, size=2 * radius + 1, mode="constant", cval=False)


def volume_ml(mask: Bool[np.ndarray, "d h w"], spacing_mm: Spacing) -> float:
    """Return the volume of a mask in millilitres."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000
