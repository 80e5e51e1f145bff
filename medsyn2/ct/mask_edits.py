"""Changes of masks, and simple masks drawn from numbers: what a person does to a mask without drawing.

All functions are pure. Sides are the patient's, told by the middle plane of the grid, about which registered chests
are nearly symmetric. Distances are in millimetres on the mask's own grid, whose voxels need not be cubes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medsyn2.ct.affines import Spacing
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.morphology import bounding_box
from medsyn2.ct.volume import Grid, LabelMap
from medsyn2.errors import MaskError
from medsyn2.types import Bool, Float
from medsyn2.vocabulary import Side

Mask = Bool[np.ndarray, "d h w"]


def mirror_mask(mask: Mask) -> Mask:
    """Exchange left and right, about the grid's middle plane."""
    return np.ascontiguousarray(mask[:, :, ::-1])


def keep_half(mask: Mask, side: Side) -> Mask:
    """Keep the part of a mask on one side of the patient, up to the grid's middle plane."""
    kept = np.zeros_like(mask)
    half = sides(mask) > 0 if side == "left" else sides(mask) < 0
    kept[:, :, half] = mask[:, :, half]
    return kept


def sides(mask: Mask) -> Float[np.ndarray, " w"]:
    """Return 1 for the planes on the patient's left, -1 for those on the right, 0 for a plane in the middle."""
    width = mask.shape[2]
    side: Float[np.ndarray, " w"] = np.sign(np.arange(width) - (width - 1) / 2)
    return side


def shift_mask(mask: Mask, by_mm: Spacing, spacing_mm: Spacing) -> Mask:
    """Shift a mask by whole voxels, the nearest to `by_mm`; voxels beyond the grid are lost.

    Args:
        by_mm: Along (depth, height, width): towards superior, posterior, left.
    """
    result = np.zeros_like(mask)
    source, target = [], []
    for size, far, step in zip(mask.shape, by_mm, spacing_mm, strict=True):
        shift = max(-size, min(size, round(far / step)))
        source.append(slice(max(0, -shift), size - max(0, shift)))
        target.append(slice(max(0, shift), size + min(0, shift)))
    result[tuple(target)] = mask[tuple(source)]
    return result


def scale_mask(mask: Mask, factor: float, grid: Grid) -> Mask:
    """Enlarge or shrink a mask about its centroid; `factor` multiplies each length."""
    if not mask.any():
        return mask.copy()
    centre_mm = grid.affine_mm[:3, :3] @ np.argwhere(mask).mean(axis=0) + grid.affine_mm[:3, 3]
    to_mask = np.diag([1 / factor, 1 / factor, 1 / factor, 1.0])
    to_mask[:3, 3] = centre_mm * (1 - 1 / factor)
    return resample_mask(LabelMap(mask, grid.affine_mm), grid, to_mask)


def grow_mask(mask: Mask, by_mm: float, spacing_mm: Spacing) -> Mask:
    """Return the voxels at most `by_mm` from a voxel of a mask, centre to centre."""
    result = np.zeros_like(mask)
    if mask.any():
        box = tuple(
            slice(max(0, span.start - reach), span.stop + reach)
            for span, reach in zip(bounding_box(mask), _reach(by_mm, spacing_mm), strict=True)
        )
        result[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm) <= by_mm
    return result


def shrink_mask(mask: Mask, by_mm: float, spacing_mm: Spacing) -> Mask:
    """Return the voxels of a mask farther than `by_mm` from every voxel outside it."""
    result = np.zeros_like(mask)
    if mask.any() and not mask.all():
        box = bounding_box(mask, 1)
        result[box] = ndimage.distance_transform_edt(mask[box], sampling=spacing_mm) > by_mm
    return result if not mask.all() else mask.copy()


def ellipsoid_mask(grid: Grid, centre_mm: Sequence[float], diameters_mm: Spacing) -> Mask:
    """Return an ellipsoid along the grid's axes.

    Args:
        centre_mm: World position (x, y, z), LPS.
        diameters_mm: Along (depth, height, width).
    """
    result = np.zeros(grid.shape, dtype=bool)
    centre = np.linalg.inv(grid.affine_mm) @ (*centre_mm, 1.0)
    radii = np.array(diameters_mm) / 2 / grid.spacing_mm
    low = np.clip(np.floor(centre[:3] - radii), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(centre[:3] + radii) + 1, 0, grid.shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    axes = np.ogrid[box]
    squares = [((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre[:3], radii, strict=True)]
    result[box] = sum(squares) <= 1.0
    return result


def scatter_nodules(
    room: Mask, grid: Grid, diameters_mm: Sequence[float], rng: np.random.Generator, *, apart_mm: float = 4.0
) -> Mask:
    """Draw balls of given diameters inside a room, such as a lobe, clear of its border and of each other.

    Args:
        room: Where the balls may be, on the grid.
        rng: Decides the places.
        apart_mm: Least distance of two surfaces.

    Raises:
        MaskError: If one fits nowhere.
    """
    result = np.zeros(grid.shape, dtype=bool)
    box = bounding_box(room, 1)
    depth_mm = ndimage.distance_transform_edt(room[box], sampling=grid.spacing_mm)
    start = np.array([span.indices(size)[0] for span, size in zip(box, grid.shape, strict=True)])
    for diameter_mm in sorted(diameters_mm, reverse=True):
        free = depth_mm >= diameter_mm / 2
        if result.any():
            free &= ndimage.distance_transform_edt(~result[box], sampling=grid.spacing_mm) >= diameter_mm / 2 + apart_mm
        places = np.argwhere(free)
        if not len(places) or not room.any():
            raise MaskError(
                f"a nodule of {diameter_mm:g} mm fits nowhere in the {np.count_nonzero(room):,} voxels of its room.",
                code="lesion-does-not-fit",
                remedy="ask for a smaller one or fewer, or leave the lobe open.",
            )
        index = places[int(rng.integers(len(places)))] + start
        centre_mm = grid.affine_mm[:3, :3] @ index + grid.affine_mm[:3, 3]
        result |= ellipsoid_mask(grid, centre_mm.tolist(), (diameter_mm, diameter_mm, diameter_mm))
    return result


def _reach(by_mm: float, spacing_mm: Spacing) -> list[int]:
    return [int(np.ceil(by_mm / step)) + 1 for step in spacing_mm]
