"""User-supplied masks: made binary and resampled to the model's grid.

Files encode a binary mask as 0 and 1, as 0 and 255, as a probability from 0 to 1, or as a probability in 256 steps.
The encoding is detected from the values, and every one but plain 0 and 1 is noted. Numbered pieces that hardly touch,
such as two sides or single nodules, are one mask; a map of several labels that touch is refused, because it does not
say which label is meant.

A mask on another grid is resampled by one linear interpolation of its indicator and a threshold at one half, as the
training masks were. Loss outside the grid is noted, and refused where it is most of the mask; so is a mask that
vanishes. The identity, which programs write when they know no place in space, is taken for none: a mask of the grid's
shape is taken voxel by voxel, another one is refused. An all-background mask is
allowed and states that the structure is absent.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Shaped

from medsyn2.ct.geometry import canonical, resample_mask
from medsyn2.ct.volume import Affine, Grid, LabelMap
from medsyn2.ct.voxel_file import VoxelFile
from medsyn2.errors import MaskError

_HALF = 0.5
_FEW = 12
_ALIGNED_VOXELS = 1e-3
_LOST_SHARE, _MOST = 0.01, 0.5
_TOUCHING_SHARE = 0.05
"""Share of a piece's voxels that touch another one: of two lungs less, of two lobes or opacities more."""


def mask_of(file: VoxelFile) -> tuple[LabelMap, tuple[str, ...]]:
    """Return the binary mask of a file that holds 0 and 1, 0 and 255, or probabilities.

    Returns:
        The mask in canonical axes, and notes on anything unusual about the file.

    Raises:
        GeometryError: If its position in space is missing, impossible or ambiguous.
        MaskError: If its values are those of an image or of several labels.
    """
    affine, repairs = file.affine()
    inside, notes = binarize(file.values, file.name)
    labels, affine = canonical(inside, affine)
    return LabelMap(labels, affine), (*file.notes, *repairs, *notes)


def binarize(values: Shaped[np.ndarray, "d h w"], name: str) -> tuple[Bool[np.ndarray, "d h w"], tuple[str, ...]]:
    """Return the foreground, and a note on the encoding if the values are not 0 and 1.

    Raises:
        MaskError: If the values are not finite, negative, or several labels.
    """
    if values.dtype == bool:
        return values, ()
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all() or low < 0:
        raise _not_a_mask(name, f"values from {low:g} to {high:g}")
    found = np.unique(values)
    if set(found.tolist()) <= {0, 1}:
        return values != 0, ()
    if len(found) == 1 or (len(found) == 2 and low == 0):
        return values != 0, (f"{name}: the value {high:g} was read as the mask",)
    if high <= 1:
        return values > _HALF, (f"{name}: values between 0 and 1 were cut at 0.5",)
    if high == 255 and len(found) > _FEW:
        return values > _HALF * 255, (f"{name}: values from 0 to 255 were cut at one half",)
    if len(found) <= _FEW and np.all(found == np.rint(found)) and _hardly_touch(values):
        return values != 0, (
            f"{name}: the labels {', '.join(f'{value:g}' for value in found if value)} were read as one",
        )
    shown = ", ".join(f"{value:g}" for value in found[:_FEW]) + (", ..." if len(found) > _FEW else "")
    raise _not_a_mask(name, f"the values {shown}")


def _hardly_touch(values: Shaped[np.ndarray, "d h w"]) -> bool:
    """Return whether few voxels of a piece have a face neighbour in another one."""
    touching = 0
    for axis in range(3):
        before, after = np.delete(values, -1, axis), np.delete(values, 0, axis)
        touching += int(np.count_nonzero((before != after) & (before != 0) & (after != 0)))
    smallest = min(np.count_nonzero(values == value) for value in np.unique(values) if value)
    return bool(touching <= _TOUCHING_SHARE * smallest)


def _not_a_mask(name: str, found: str) -> MaskError:
    return MaskError(
        f"{name}: expected one binary mask, got {found}.",
        code="mask-not-binary",
        remedy="give a file that is 1 where the structure is and 0 elsewhere; of a map of several labels choose "
        "one, and of lung lobes give their boundaries.",
    )


def mask_to_grid(
    mask: LabelMap, grid: Grid, grid_to_mask_lps_mm: Affine | None = None, *, of: str = "the model"
) -> tuple[Bool[np.ndarray, "d h w"], tuple[str, ...]]:
    """Resample a mask, whose foreground is every label except 0, to a grid.

    Args:
        grid_to_mask_lps_mm: World of the grid to world of the mask, where they are not the same.
        of: Owner of the grid, for messages.

    Returns:
        The mask on the grid, and notes on resampling and losses.

    Raises:
        MaskError: If all foreground is lost on the way, or there is no background.
    """
    inside = mask.labels != 0
    if grid_to_mask_lps_mm is None and mask.shape == grid.shape and same_grid(mask.affine_mm, grid):
        return _with_background(inside), ()
    moved = resample_mask(LabelMap(_with_background(inside), mask.affine_mm), grid, grid_to_mask_lps_mm)
    where = f"its grid, {_describe(mask.grid)}, to {of}'s, {_describe(grid)}"
    if not inside.any():
        return moved, (f"the mask, which is empty, was brought from {where}",)
    if grid_to_mask_lps_mm is None and is_placeholder(mask.grid):
        return _with_background(_by_index(mask, inside, grid, of)), (
            f"the mask has no place in space but the identity; it was taken voxel by voxel on {of}'s grid",
        )
    before_ml, after_ml = _volume_ml(inside, mask.grid), _volume_ml(moved, grid)
    remedy = (
        "register it to the model's template, or draw it on a volume that the model made."
        if of == "the model"
        else f"draw it on {of} itself."
    )
    if not moved.any():
        raise MaskError(
            f"nothing is left of the mask's {before_ml:.3g} ml on the way from {where}.",
            code="mask-outside-grid",
            remedy=f"it lies elsewhere in space or is thinner than a voxel of {of}; {remedy}",
        )
    notes = [f"the mask was brought from {where}; it was {before_ml:.3g} ml and is {after_ml:.3g} ml"]
    lost = _outside_share(inside, mask, grid, grid_to_mask_lps_mm)
    if lost > _MOST and not moved.all():
        raise MaskError(
            f"{lost:.0%} of the mask's {before_ml:.3g} ml lie outside {of}'s grid, on the way from {where}.",
            code="mask-outside-grid",
            remedy=f"it lies elsewhere in space; {remedy}",
        )
    if lost > _LOST_SHARE:
        notes.append(f"{lost:.0%} of the mask lie outside {of}'s grid")
    return _with_background(moved), tuple(notes)


def is_placeholder(grid: Grid) -> bool:
    """Return whether a grid's place is the identity that programs write when they know none.

    Its voxels are 1 mm along the axes, and that of the file's first index is at the origin, whichever way its axes
    were turned.
    """
    turned = grid.affine_mm[:3, :3]
    if not np.allclose(np.abs(turned), np.abs(turned).round(), atol=1e-6) or not np.allclose(grid.spacing_mm, 1):
        return False
    first = np.linalg.inv(grid.affine_mm)[:3, 3]
    from_end = np.abs(first - np.array(grid.shape) + 1)
    return bool((np.minimum(np.abs(first), from_end) < _ALIGNED_VOXELS).all())


def _by_index(mask: LabelMap, inside: Bool[np.ndarray, "d h w"], grid: Grid, of: str) -> Bool[np.ndarray, "d h w"]:
    """Return a mask without a place in space in the order of its file's indices, which are the grid's."""
    if mask.shape != grid.shape:
        raise MaskError(
            f"expected a place in space, got the identity, which programs write when they know none, and "
            f"{_times(mask.shape)} voxels, which are not {of}'s {_times(grid.shape)}.",
            code="affine-identity",
            remedy="write the affine of the CT that the mask was drawn on into its file.",
        )
    first = np.linalg.inv(mask.affine_mm)[:3, 3]
    turned = tuple(axis for axis in range(3) if first[axis] > 0.5)
    return np.flip(inside, turned)


def _with_background(inside: Bool[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    if inside.all():
        raise MaskError(
            f"expected a mask with a background, got one that is foreground in all {inside.size:,} voxels.",
            code="mask-full",
            remedy="a full mask says nothing; give a mask of one structure, or none.",
        )
    return inside


def same_grid(affine_mm: Shaped[np.ndarray, "4 4"], grid: Grid) -> bool:
    """Say whether the corners of two grids of one shape agree to a thousandth of a voxel."""
    corners = np.array([[d, h, w, 1] for d in (0, 1) for h in (0, 1) for w in (0, 1)]) * [*grid.shape, 1]
    apart_mm = corners @ (affine_mm - grid.affine_mm).T
    return bool(np.linalg.norm(apart_mm[:, :3], axis=1).max() < _ALIGNED_VOXELS * min(grid.spacing_mm))


def _outside_share(
    inside: Bool[np.ndarray, "d h w"], mask: LabelMap, grid: Grid, grid_to_mask_lps_mm: Affine | None
) -> float:
    """Return the share of a mask's voxels whose centres lie outside a grid."""
    voxels = np.argwhere(inside)
    to_mask = np.eye(4) if grid_to_mask_lps_mm is None else grid_to_mask_lps_mm
    to_grid = np.linalg.inv(to_mask @ grid.affine_mm) @ mask.affine_mm
    index = voxels @ to_grid[:3, :3].T + to_grid[:3, 3]
    out = ((index < -_HALF) | (index > np.array(grid.shape) - _HALF)).any(axis=1)
    return float(out.mean())


def _volume_ml(inside: Bool[np.ndarray, "d h w"], grid: Grid) -> float:
    return float(inside.sum()) * abs(float(np.linalg.det(grid.affine_mm[:3, :3]))) / 1000.0


def _describe(grid: Grid) -> str:
    return f"{_times(grid.shape)} at {_times(round(size, 3) for size in grid.spacing_mm)} mm"


def _times(values: Iterable[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)
