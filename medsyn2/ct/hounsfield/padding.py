"""Padding: voxels of a file that no scanner measured, found by their place.

Scanners reconstruct a circle and files are boxes, converters straighten tilted scans, preprocessing crops, pads and
turns. Each fills the rest with one value, and any value occurs: -2000, -3024, -1024, 0, 3071. So a value says nothing,
but the place does: padding is flat, because no noise is in it, and it begins at the sides of a slice or is a whole
slice. A field of view is convex, so that every voxel outside is seen from a side along a row or a column, or belongs
to a flat patch that continues one that is. Interpolation leaves a rim of in-between values around it.

Padding is no evidence for or against a unit, whatever its value. A stage that reads the volume finds air in its place:
the values that are air already, or below it, stay as `to_hu` gives them, and all others become -1024 HU with their rim.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from medsyn2.ct.hounsfield.flat import (
    ROUNDING,
    Inside,
    Slice,
    all_of,
    equal,
    equal_neighbours,
    flat_parts,
    reach_from_sides,
    spread,
)
from medsyn2.ct.hounsfield.rim import rim_slices, rim_voxels
from medsyn2.ct.intensity import HU_RANGE
from medsyn2.facts import HuScale, Padding
from medsyn2.types import Bool, Float, Num

EMPTY_HU = -950.0
"""Padding up to here is as empty as the air around a patient and stays as it is."""

_HU = HuScale("hu", 1.0, 0.0, None)
_SAMPLED_VOXELS = 4_000_000
_MIN_SHARE = 0.0005
"""Share of a volume from which on padding can disturb a verdict or a segmentation."""
_MAX_VALUES = 8
_JOIN_VOXELS = 4
_NOISY_NEIGHBOURS = 4
_MIN_NOISY = 0.01
_ROWS = 64
_WIDE_VOXELS = 400
_MAX_FLAT_IMAGE = 0.3


class Sample(NamedTuple):
    """Every n-th voxel on all axes, and the padding of the whole volume."""

    values: Float[np.ndarray, "d h w"]  # Of the file, float32
    is_image: Bool[np.ndarray, "d h w"]  # Neither padding nor its rim
    is_interior: Bool[np.ndarray, "d h w"]  # Not outside, nor its rim; flat parts inside the body count
    padding: tuple[Padding, ...]
    shares: dict[float, float]  # Share of the voxels that are outside, by value of padding


def take_sample(values: Num[np.ndarray, "d h w"]) -> Sample:
    """Take at most about four million voxels of a volume, and find the padding of the whole."""
    step = max(1, int(np.ceil((values.size / _SAMPLED_VOXELS) ** (1 / 3))))
    sample = values[::step, ::step, ::step].astype(np.float32)
    flat, outside = np.zeros(sample.shape, bool), np.zeros(sample.shape, bool)
    fine = 2 if step % 2 == 0 and min(values.shape[1:]) >= _WIDE_VOXELS else 1
    coarse = step // fine
    for place, plane in enumerate(values[::step, ::fine, ::fine]):
        parts = flat_parts(plane)
        if parts.any():
            flat[place] = parts[::coarse, ::coarse]
            outside[place] = (parts & reach_from_sides(spread(parts, _gap(plane))))[::coarse, ::coarse]
    blank = blank_slices(values)
    found = _join(_frequent(sample, flat, outside) + [float(np.median(plane[::8, ::8])) for plane in values[blank]])
    is_padding, shares = np.zeros(sample.shape, bool), {}
    for value in found:
        part = flat & equal(sample, value)
        shares[value] = float((part & outside).mean())
        is_padding |= part
    padding = tuple(Padding(value, rim_voxels(values, value), rim_slices(values, blank, value)) for value in found)
    is_image, is_interior = (~_with_rim(part, values.shape[2], step) for part in (is_padding, outside & is_padding))
    return Sample(sample, is_image, is_interior, padding, shares)


def blank_slices(values: Num[np.ndarray, "d h w"]) -> Bool[np.ndarray, " d"]:
    """Return which axial slices hold no image: nowhere in them do neighbours differ as in noise.

    A blank slice is constant, or made of a few constant parts, such as zeros in a circle of another value.
    """
    return np.array([not _has_noise(plane[:: max(1, len(plane) // _ROWS)]) for plane in values])


def clear_padding(
    hu: Num[np.ndarray, "d h w"], values: Num[np.ndarray, "d h w"], padding: Sequence[Padding], meaning: HuScale
) -> None:
    """Set padding to air in `hu`, in place.

    Args:
        values: The same voxels in the file's units, in which `padding` is given.
    """
    filled = [part for part in padding if is_filled(part, meaning)]
    blank = blank_slices(values) if any(part.rim_slices for part in filled) else np.zeros(len(values), bool)
    for plane, target in zip(values, hu, strict=True):
        member = np.logical_or.reduce([equal(plane, part.value) for part in padding])
        if member.any():
            outside = _outside_of(plane, member)
            for part in filled:
                target[spread(outside & equal(plane, part.value), part.rim_voxels)] = HU_RANGE[0]
    for part in filled if blank.any() else ():
        for place in blank.nonzero()[0]:
            if equal(values[place, :1, :1], part.value):
                hu[max(0, place - part.rim_slices) : place + part.rim_slices + 1] = HU_RANGE[0]


def without_padding(hu: Num[np.ndarray, "d h w"], padding: Sequence[Padding] | None) -> Num[np.ndarray, "d h w"]:
    """Return values that are HU as they are, with air in the place of padding."""
    if padding is None:
        return hu
    cleared = hu.copy()
    clear_padding(cleared, hu, padding, _HU)
    return cleared


def is_filled(padding: Padding, meaning: HuScale) -> bool:
    """Return whether padding would be taken for something else than air."""
    return padding.value * meaning.slope + meaning.intercept > EMPTY_HU


def _frequent(
    sample: Float[np.ndarray, "d h w"], flat: Bool[np.ndarray, "d h w"], outside: Bool[np.ndarray, "d h w"]
) -> list[float]:
    """Return the values that are frequent outside, and rarer in flat parts inside: those are ends of a cut range."""
    outer, inner = _count(sample[outside]), _count(sample[flat & ~outside])
    ends = (float(sample.min()), float(sample.max()))
    found = [
        value
        for value in sorted(outer, key=lambda value: -outer[value])[:_MAX_VALUES]
        if outer[value] >= max(_MIN_SHARE * sample.size, inner.get(value, 0))
    ]
    between = sum(count for value, count in inner.items() if min(inner) < value < max(inner))
    if between > _MAX_FLAT_IMAGE * np.count_nonzero(~outside):  # No noise: flat parts are no sign of padding.
        return [value for value in found if value in ends]
    return found


def _count(values: Float[np.ndarray, " n"]) -> dict[float, int]:
    """Count values, those that are equal up to rounding together."""
    if not values.size:
        return {}
    unique, counts = np.unique(values, return_counts=True)
    first = np.flatnonzero(np.diff(unique, prepend=-np.inf) > ROUNDING * np.abs(unique))
    return dict(zip(unique[first].tolist(), np.add.reduceat(counts, first).tolist(), strict=True))


def _join(values: Sequence[float]) -> list[float]:
    """Return the values without those that are equal up to rounding."""
    found: list[float] = []
    for value in values:
        if not found or not equal(np.array(found), value).any():
            found.append(value)
    return found


def _with_rim(is_padding: Bool[np.ndarray, "d h w"], width: int, step: int) -> Bool[np.ndarray, "d h w"]:
    """Return padding with a rim of a few voxels, and more in fine images, where an interpolation spans more."""
    if not is_padding.any():
        return is_padding
    radius = max(1, round((3 + width / 64) / step))
    return ndimage.maximum_filter(is_padding, (3, 2 * radius + 1, 2 * radius + 1))


def _has_noise(rows: Num[np.ndarray, "h w"]) -> bool:
    differ = ~equal_neighbours(rows)
    return float(all_of(differ, _NOISY_NEIGHBOURS).mean()) >= _MIN_NOISY


def _gap(plane: Slice) -> int:
    """Return how far the rim between two paddings is spanned from each: much less than the wall of a chest."""
    return max(1, min(_JOIN_VOXELS, min(plane.shape) // 64))


def _outside_of(plane: Slice, member: Inside) -> Inside:
    """Return the padding that is seen from a side of the slice, and flat parts that continue it."""
    seen = reach_from_sides(member)
    rest = flat_parts(plane, member & ~seen)
    if not rest.any():
        return seen
    labels, _ = ndimage.label(spread(rest | (seen & flat_parts(plane, member)), _gap(plane)))
    begin = seen | reach_from_sides(labels > 0)
    return seen | (rest & np.isin(labels, np.unique(labels[begin & (labels > 0)])))
