"""Flat parts of a slice, and the ways to them from its sides.

No noise is in values that a program filled in, so that several equal neighbours in a row are rare in an image and
certain in a filling. In noise of 10 HU two neighbours are equal in one of 35 pairs, eight in a row in one of 10^10.
All functions work on a slice by shifted copies of it: a tenth of a millisecond each for 512 x 512 voxels.
"""

import numpy as np

from medsyn2.types import Bool, Int, Num, Shaped

Slice = Num[np.ndarray, "h w"]
Inside = Bool[np.ndarray, "h w"]
Part = Bool[np.ndarray, "..."]

ROUNDING = 1e-5
"""Relative error of a constant that was interpolated in float32."""

_RUN_VOXELS = 8
_SHORT_SIDE = 24


def equal(values: Num[np.ndarray, "..."], value: float) -> Bool[np.ndarray, "..."]:
    """Return where `values` are `value`, in a float type up to rounding."""
    if values.dtype.kind != "f":
        return values == value
    return np.abs(values - values.dtype.type(value)) <= ROUNDING * abs(value)


def flat_parts(plane: Slice, member: Inside | None = None) -> Inside:
    """Return where enough equal neighbours stand in a row or column; in those of `member`, where that is given."""
    run = max(3, min(_RUN_VOXELS, min(plane.shape) // _SHORT_SIDE))
    flat = np.zeros(plane.shape, bool)
    for axis in (0, 1):
        starts = all_of(equal_neighbours(plane, axis) if member is None else member, run - (member is None), axis)
        _stretch(flat, starts, run, axis)
    return flat


def reach_from_sides(free: Inside) -> Inside:
    """Return the voxels of `free` between which and a side of the slice, along a row or column, all are free."""
    height, width = free.shape
    rows, columns = np.arange(height, dtype=np.int16)[:, None], np.arange(width, dtype=np.int16)
    last, first = _ends(free, columns, 1)
    lowest, highest = _ends(free, rows, 0)
    return free & ((columns > last) | (columns < first) | (rows > lowest) | (rows < highest))


def spread(inside: Inside, voxels: int) -> Inside:
    """Return the voxels at most `voxels` from `inside` along rows and columns (a square)."""
    for axis in (0, 1) if voxels else ():
        wide = np.zeros(np.add(inside.shape, (2 * voxels * (axis == 0), 2 * voxels * (axis == 1))), bool)
        _stretch(wide, inside, 2 * voxels + 1, axis)
        inside = _part(wide, axis, voxels, wide.shape[axis] - voxels)
    return inside


def equal_neighbours(plane: Slice, axis: int = 1) -> Part:
    """Return which voxels equal the next one along an axis, in a float type up to rounding."""
    first, second = _part(plane, axis, 0, -1), _part(plane, axis, 1, None)
    if plane.dtype.kind != "f":
        return first == second
    return np.abs(second - first) <= ROUNDING * np.abs(first)


def all_of(member: Part, count: int, axis: int = 1) -> Part:
    """Return, for each place, whether it and the next ones along an axis, `count` in all, are in `member`."""
    size = 1
    while size < count and member.shape[axis] > 0:
        step = min(size, count - size, member.shape[axis])
        member = _part(member, axis, 0, member.shape[axis] - step) & _part(member, axis, step, None)
        size += step
    return member


def _stretch(member: Part, starts: Part, count: int, axis: int) -> None:
    """Add the `count` places from each start on to `member`, in place."""
    if not starts.any():
        return
    length, size, stretched = starts.shape[axis], 1, starts
    while size < count:
        step = min(size, count - size)
        longer = np.zeros(np.add(stretched.shape, (step * (axis == 0), step * (axis == 1))), bool)
        _part(longer, axis, 0, length + size - 1)[...] = stretched
        part = _part(longer, axis, step, None)
        part |= stretched
        stretched, size = longer, size + step
    part = _part(member, axis, 0, stretched.shape[axis])
    part |= stretched


def _ends(free: Inside, places: Int[np.ndarray, "..."], axis: int) -> list[Int[np.ndarray, "..."]]:
    """Return the last and the first place along an axis that is not free; -1 and the length where all are."""
    count = np.int16(free.shape[axis])
    last = np.where(free, np.int16(-1), places).max(axis=axis, keepdims=True)
    first = np.where(free, count, places).min(axis=axis, keepdims=True)
    return [last, first]


def _part(array: Shaped[np.ndarray, "..."], axis: int, start: int, stop: int | None) -> Shaped[np.ndarray, "..."]:
    return array[start:stop] if axis == 0 else array[:, start:stop]
