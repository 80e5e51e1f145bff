"""Binary morphology with radii in millimetres, and connected components, on isotropic arrays.

Dilation by a ball of radius r is "at most r from the set", erosion "farther than r from the complement". Squared
distances in voxels are integers and separate along the axes, d^2(x) = min_k d^2(x + k) + k^2 for one axis after the
other; a small r needs only |k| <= r, for a large one the Euclidean distance transform is faster, whose cost does not
depend on r. Voxels beyond the array are neither set nor complement: an erosion does not eat into a structure that the
field of view cuts, and a closing does not leak out of it.
"""

from collections.abc import Callable
from math import isqrt

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medsyn2.types import Bool, Float, Int

Mask = Bool[np.ndarray, "d h w"]
Box = tuple[slice, slice, slice]

SEPARATE_VOXELS = 8
"""Radius, in voxels, from which the distance transform is faster."""


def distance_mm(mask: Mask, spacing_mm: float) -> Float[np.ndarray, "d h w"]:
    """Return the distance of each voxel to `mask`: 0 inside, infinite if the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=False)
    return np.maximum(sitk.GetArrayViewFromImage(signed), 0) * np.float32(spacing_mm)


def depth_mm(mask: Mask, spacing_mm: float) -> Float[np.ndarray, "d h w"]:
    """Return the distance of each voxel of `mask` to its outside, infinite if there is none; 0 outside the mask."""
    depth = np.zeros(mask.shape, dtype=np.float32)
    if mask.any():
        box = bounding_box(mask, 1)
        depth[box] = distance_mm(~mask[box], spacing_mm)
    return depth


def dilate(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return the voxels at most `radius_mm` from a voxel of `mask`, centre to centre."""
    return _inside_box(mask, radius_mm, spacing_mm, lambda part: _near(part, radius_mm, spacing_mm))


def erode(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return the voxels of `mask` farther than `radius_mm` from every voxel outside it."""
    return _inside_box(mask, spacing_mm, spacing_mm, lambda part: ~_near(~part, radius_mm, spacing_mm))


def open_mask(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Remove the parts of `mask` that a ball of `radius_mm` does not fit into."""
    return dilate(erode(mask, radius_mm, spacing_mm), radius_mm, spacing_mm) & mask


def close_mask(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Fill the gaps of `mask` that a ball of `radius_mm` does not fit into."""
    # Padded by the edge values, so that a gap cut by the array's border stays a gap.
    pad = int(np.ceil(radius_mm / spacing_mm)) + 1

    def close(part: Mask) -> Mask:
        padded = np.pad(part, pad, mode="edge")
        grown = _near(padded, radius_mm, spacing_mm)
        kept = ~_near(~grown, radius_mm, spacing_mm)
        return kept[pad:-pad, pad:-pad, pad:-pad]

    return _inside_box(mask, radius_mm, spacing_mm, close) | mask


def fill_holes(mask: Mask) -> Mask:
    """Fill the holes of `mask` that are enclosed in space or in an axial slice."""
    in_plane = ndimage.generate_binary_structure(3, 1)
    in_plane[[0, 2]] = False
    labels, count = ndimage.label(~mask, structure=in_plane)
    reaches_side = np.zeros(count + 1, dtype=bool)
    for side in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        reaches_side[side.ravel()] = True
    return ndimage.binary_fill_holes(~reaches_side[labels] | mask)


def components(mask: Mask) -> tuple[Int[np.ndarray, "d h w"], Int[np.ndarray, " n"]]:
    """Return the face-connected components, numbered from 1, and their sizes in voxels (label 1 first)."""
    labels, count = ndimage.label(mask)
    return labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]


def remove_small(mask: Mask, min_ml: float, spacing_mm: float) -> Mask:
    """Remove the face-connected components of `mask` below `min_ml`."""
    labels, sizes = components(mask)
    return np.concatenate([[False], sizes * spacing_mm**3 >= min_ml * 1000])[labels]


def largest_component(mask: Mask) -> Mask:
    """Return the largest face-connected component of `mask`; the first one among equals."""
    labels, sizes = components(mask)
    return labels == 1 + int(np.argmax(sizes)) if len(sizes) else mask.copy()


def touching_components(mask: Mask, seed: Mask) -> Mask:
    """Return the face-connected components of `mask` that share a voxel with `seed`."""
    labels, count = ndimage.label(mask)
    reached = np.zeros(count + 1, dtype=bool)
    reached[labels[seed & mask]] = True
    return reached[labels]


def bounding_box(mask: Mask, margin_voxels: int = 0) -> Box:
    """Return the smallest box around `mask`, widened by a margin; the whole array if the mask is empty."""
    if not mask.any():
        return slice(None), slice(None), slice(None)
    # Each axis in what the axes before have left: a small structure is passed over once.
    depth = _span(mask, 0)
    height = _span(mask[depth], 1)
    width = _span(mask[depth, height], 2)
    return _widen(depth, margin_voxels), _widen(height, margin_voxels), _widen(width, margin_voxels)


def _span(mask: Mask, axis: int) -> slice:
    found = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
    return slice(int(found[0]), int(found[-1]) + 1)


def _widen(span: slice, margin: int) -> slice:
    return slice(max(span.start - margin, 0), span.stop + margin)


def _near(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return the voxels at most `radius_mm` from a voxel of `mask`."""
    if radius_mm >= SEPARATE_VOXELS * spacing_mm:
        return distance_mm(mask, spacing_mm) <= radius_mm
    limit = int((radius_mm / spacing_mm) ** 2 + 1e-6)
    squared = np.where(mask, 0, limit + 1).astype(np.int16)
    for axis in range(3):
        before = np.moveaxis(squared, axis, 0)
        after = before.copy(order="K")
        for step in range(1, min(isqrt(limit), len(before) - 1) + 1):
            np.minimum(after[step:], before[:-step] + step**2, out=after[step:])
            np.minimum(after[:-step], before[step:] + step**2, out=after[:-step])
        squared = np.moveaxis(after, 0, axis)
    return squared <= limit


def _inside_box(mask: Mask, reach_mm: float, spacing_mm: float, work: Callable[[Mask], Mask]) -> Mask:
    """Apply `work` to the box outside of which its result is background."""
    result = np.zeros_like(mask)
    if mask.any():
        box = bounding_box(mask, int(np.ceil(reach_mm / spacing_mm)) + 1)
        result[box] = work(np.ascontiguousarray(mask[box]))
    return result
