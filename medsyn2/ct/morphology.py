"""Binary morphology with radii in millimetres, and connected components, on isotropic arrays.

A ball of radius r is applied directly while it is small, and through the Euclidean distance transform beyond,
whose cost does not depend on r: dilation is "at most r from the set", erosion is "farther than r from the
complement". What lies beyond the
array is neither set nor complement: an erosion does not eat into a structure that the field of view cuts, and
a closing does not leak out of it.
"""

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medsyn2.types import Bool, Float, Int

Mask = Bool[np.ndarray, "d h w"]
Box = tuple[slice, slice, slice]

DIRECT_VOXELS = 2.7
"""Radius, in voxels, from which the distance transform is faster."""


def distance_mm(mask: Mask, spacing_mm: float) -> Float[np.ndarray, "d h w"]:
    """Return the distance of each voxel to the nearest one of `mask`, 0 inside; infinite if it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=False)
    return np.maximum(sitk.GetArrayViewFromImage(signed), 0) * np.float32(spacing_mm)


def dilate(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return the voxels at most `radius_mm` from a voxel of `mask`, centre to centre."""
    if radius_mm < DIRECT_VOXELS * spacing_mm:
        return ndimage.binary_dilation(mask, _ball(radius_mm / spacing_mm))
    return _inside_box(mask, radius_mm, spacing_mm, lambda part: distance_mm(part, spacing_mm) <= radius_mm)


def erode(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return the voxels of `mask` farther than `radius_mm` from every voxel outside it."""
    if radius_mm < DIRECT_VOXELS * spacing_mm:
        return ndimage.binary_erosion(mask, _ball(radius_mm / spacing_mm), border_value=1)
    return _inside_box(mask, spacing_mm, spacing_mm, lambda part: distance_mm(~part, spacing_mm) > radius_mm)


def opened(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return `mask` without the parts that a ball of `radius_mm` does not fit into."""
    return dilate(erode(mask, radius_mm, spacing_mm), radius_mm, spacing_mm) & mask


def closed(mask: Mask, radius_mm: float, spacing_mm: float) -> Mask:
    """Return `mask` with the gaps filled that a ball of `radius_mm` does not fit into.

    The array is extended by its edge values, so that a gap which the array's border cuts is a gap still.
    """
    pad = int(np.ceil(radius_mm / spacing_mm)) + 1

    def close(part: Mask) -> Mask:
        padded = np.pad(part, pad, mode="edge")
        grown = distance_mm(padded, spacing_mm) <= radius_mm
        kept = distance_mm(~grown, spacing_mm) > radius_mm
        return kept[pad:-pad, pad:-pad, pad:-pad]

    return _inside_box(mask, radius_mm, spacing_mm, close) | mask


def filled(mask: Mask) -> Mask:
    """Return `mask` with its holes filled: those enclosed in space and those enclosed in an axial slice."""
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


def without_small(mask: Mask, min_ml: float, spacing_mm: float) -> Mask:
    """Return the face-connected components of `mask` of at least `min_ml`."""
    labels, sizes = components(mask)
    return np.concatenate([[False], sizes * spacing_mm**3 >= min_ml * 1000])[labels]


def largest(mask: Mask) -> Mask:
    """Return the largest face-connected component of `mask`; the first one among equals."""
    labels, sizes = components(mask)
    return labels == 1 + int(np.argmax(sizes)) if len(sizes) else mask.copy()


def touching(mask: Mask, seed: Mask) -> Mask:
    """Return the face-connected components of `mask` that share a voxel with `seed`."""
    labels, count = ndimage.label(mask)
    reached = np.zeros(count + 1, dtype=bool)
    reached[labels[seed & mask]] = True
    return reached[labels]


def bounding_box(mask: Mask, margin_voxels: int = 0) -> Box:
    """Return the smallest box around `mask`, widened by a margin; the whole array if the mask is empty."""
    if not mask.any():
        return slice(None), slice(None), slice(None)
    spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = [max(int(span[0]) - margin_voxels, 0) for span in spans]
    high = [int(span[-1]) + 1 + margin_voxels for span in spans]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _ball(radius_voxels: float) -> Mask:
    reach = int(radius_voxels + 1e-6)
    offsets = np.mgrid[(slice(-reach, reach + 1),) * 3]
    return np.square(offsets).sum(axis=0) <= radius_voxels**2 + 1e-6


def _inside_box(mask: Mask, reach_mm: float, spacing_mm: float, work: Callable[[Mask], Mask]) -> Mask:
    """Apply `work` to the box that its result can differ from background in."""
    result = np.zeros_like(mask)
    if mask.any():
        box = bounding_box(mask, int(np.ceil(reach_mm / spacing_mm)) + 1)
        result[box] = work(np.ascontiguousarray(mask[box]))
    return result
