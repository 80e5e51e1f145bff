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

from medsyn2.ct.geometry import resample_mask_in_box
from medsyn2.ct.morphology import bounding_box, dilate
from medsyn2.ct.volume import Affine, Grid, LabelMap, Spacing
from medsyn2.types import Bool, Int, Shaped

_REACH_VOXELS = 3
"""Offsets, on each axis, within which the label of a gap is sought voxel by voxel."""

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
        one = LabelMap(label_map.labels == label, label_map.affine_mm)
        box, inside = resample_mask_in_box(one, grid, grid_to_source_lps_mm, threshold)
        labels[box][inside] = label
    return labels


def touching_labels_on_grid(
    label_map: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine, threshold: float
) -> Shaped[np.ndarray, "d h w"]:
    """Resample labels that fill a region together, without gaps between them.

    The threshold of `labels_on_grid` decides the region, and each of its voxels takes the nearest label.
    """
    region = LabelMap(label_map.labels > 0, label_map.affine_mm)
    box, inside = resample_mask_in_box(region, grid, grid_to_source_lps_mm, threshold)
    # Two lobes that share a voxel half and half both miss the threshold, hence the nearest label below.
    labels = labels_on_grid(label_map, grid, grid_to_source_lps_mm, threshold)
    part = labels[box]  # No label is outside the region.
    part[~inside] = 0
    fill_with_nearest(part, inside & (part == 0), grid.spacing_mm)
    return labels


def fill_with_nearest(
    labels: Shaped[np.ndarray, "d h w"], gaps: Bool[np.ndarray, "d h w"], spacing_mm: Spacing
) -> None:
    """Give each gap the label of the nearest voxel that has one, in place.

    Gaps between touching structures are thin, so that the nearest voxel is sought around each of them, from the nearest
    offset on. Among equally near voxels the order is that of SciPy's distance transform, which takes over where a gap
    is wider than the offsets reach.
    """
    padded = np.pad(labels, _REACH_VOXELS)
    unfilled = np.flatnonzero(np.pad(gaps, _REACH_VOXELS))
    known = padded.ravel()
    found = known.copy()
    for offset in _offsets_by_distance(spacing_mm) @ (np.array(padded.strides) // padded.itemsize):
        label = known[unfilled + offset]
        found[unfilled] = label
        unfilled = unfilled[label == 0]
    if unfilled.size and labels.any():
        nearest = ndimage.distance_transform_edt(padded == 0, spacing_mm, return_distances=False, return_indices=True)
        found[unfilled] = padded[tuple(axis.ravel()[unfilled] for axis in nearest)]
    inner = slice(_REACH_VOXELS, -_REACH_VOXELS)
    labels[...] = found.reshape(padded.shape)[inner, inner, inner]


def _offsets_by_distance(spacing_mm: Spacing) -> Int[np.ndarray, "n 3"]:
    """Return the offsets of a ball in the order of SciPy's feature transform: by distance, then the last axis first."""
    steps = np.arange(-_REACH_VOXELS, _REACH_VOXELS + 1)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    depth, height, width = ((offsets * spacing_mm) ** 2).T
    in_plane = depth + height
    distance = in_plane + width
    order = np.lexsort((offsets[:, 0], offsets[:, 1], in_plane, offsets[:, 2], distance))
    # Farther ones are no candidates: a voxel beyond the cube may be as near.
    return offsets[order[distance[order] < ((_REACH_VOXELS + 1) * min(spacing_mm)) ** 2]]


def lobe_boundaries(
    labels: Shaped[np.ndarray, "d h w"], radius: int, shape: BoundaryShape = "cube"
) -> Bool[np.ndarray, "d h w"]:
    """Return the boundaries of a label map, widened by a cube or a ball, 2 x `radius` + 1 voxels across.

    A boundary voxel has a label and a face neighbour with another label or none. The volume's border is no boundary.

    Source: The paper, section 7.1 ("Mask Conditions"); its 3 x 3 x 3 cube is `radius` 1. The authors' code takes ITK's
    ball of `radius` 3, which holds the voxels up to `radius` + 1/2 from its centre.
    """
    widened = np.zeros(labels.shape, dtype=bool)
    box = bounding_box(labels > 0, radius + 1)
    boundary = _boundaries(labels[box])
    if shape == "ball" and radius > 0:
        widened[box] = dilate(boundary, radius + 0.5, 1.0)
    else:
        widened[box] = _widen(boundary, radius)
    return widened


def _boundaries(labels: Shaped[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    boundary = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        low, high = _neighbours(axis, 1)
        differs = labels[low] != labels[high]
        boundary[low] |= differs
        boundary[high] |= differs
    return boundary & (labels > 0)


def _widen(mask: Bool[np.ndarray, "d h w"], radius: int) -> Bool[np.ndarray, "d h w"]:
    """Dilate a mask by a cube, an axis after the other."""
    for axis in range(3):
        narrow = mask.copy()
        for step in range(1, radius + 1):
            low, high = _neighbours(axis, step)
            mask[low] |= narrow[high]
            mask[high] |= narrow[low]
    return mask


def _neighbours(axis: int, step: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of all voxels but the last and all but the first `step` along an axis."""
    before: tuple[slice, ...] = (slice(None),) * axis
    return (*before, slice(None, -step)), (*before, slice(step, None))


def volume_ml(mask: Bool[np.ndarray, "d h w"], spacing_mm: Spacing) -> float:
    """Return the volume of a mask in millilitres."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000
