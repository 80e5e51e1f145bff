"""A chest on a coarse grid, seen without a belief about its orientation.

The lungs are found as `ct.lungs` finds them, but with no direction preferred: air that tissue encloses along the axes
of the array, too wide for a rim or an airway, and not as empty as gas. Lengths scale with the lungs, so that a child is
judged as an adult. On this grid a CT is 0.2 to 1 million voxels, and its judgement takes a fraction of a second.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from medsyn2.ct.affines import Spacing
from medsyn2.ct.lungs import AIR_HU, EMPTY_HU, GAS_HU, MIN_LUNGS_ML, TISSUE_HU
from medsyn2.ct.morphology import Box, Mask, bounding_box, components, erode, open_mask, touching_components
from medsyn2.types import Float, Num, Shaped

SPACING_MM = 4.0
MAX_VOXELS = 6_000_000
"""A scan from head to foot has 4 million voxels of 4 mm; a file whose spacing is ten times too large gets a coarser
grid."""

ADULT_ML = 4500.0
"""Volume of an adult's lungs in a CT, for which lengths in mm are given."""
UNIT_RANGE = (0.35, 1.2)
"""A newborn's lungs have 100 ml; one lung has half the volume of two."""

WIDE_MM = 24.0
CORE_MM = 6.0
WALL_MM = 8.0
MIN_SHARE = 0.1
MARGIN_MM = 160.0
ENCLOSED_AXES = 5
ENCLOSED_SHARE = 0.3
VERTEBRA_MM = 20.0
BONE_RANGE_HU = (-200.0, 400.0)

Hu = Float[np.ndarray, "d h w"]
Planes = Float[np.ndarray, "d rows columns"]
Order = tuple[int, int, int]
Flips = tuple[bool, bool, bool]


@dataclass(frozen=True)
class ChestView:
    """The surroundings of the lungs in a CT on an isotropic grid, in the axes of the array."""

    hu: Hu
    lungs: Mask
    outside: Mask  # Air around the body
    spacing_mm: float

    @cached_property
    def lung_ml(self) -> float:
        """Volume of the lungs' air."""
        return float(np.count_nonzero(self.lungs)) * self.spacing_mm**3 / 1000

    @cached_property
    def unit(self) -> float:
        """Size of the lungs relative to an adult's."""
        return float(np.clip(np.cbrt(self.lung_ml / ADULT_ML), *UNIT_RANGE))

    @cached_property
    def box(self) -> Box:
        """The box around the lungs."""
        return bounding_box(self.lungs)

    @cached_property
    def size(self) -> tuple[int, int, int]:
        """Voxels of the box around the lungs."""
        depth, height, width = (span.stop - span.start for span in self.box)
        return depth, height, width

    @cached_property
    def centre(self) -> tuple[float, float, float]:
        """Mean index of the lungs' voxels."""
        depth, height, width = (float(at.mean()) for at in np.nonzero(self.lungs))
        return depth, height, width

    @cached_property
    def between(self) -> Mask:
        """The tissue between the outer borders of the lungs in the rows of each axial slice."""
        from_right: Mask = np.logical_or.accumulate(self.lungs, axis=2)
        from_left = np.flip(np.logical_or.accumulate(np.flip(self.lungs, 2), axis=2), 2)
        within: Mask = from_right & from_left & ~self.lungs
        return within & (self.hu > TISSUE_HU)

    @cached_property
    def thick_bone(self) -> Hu:
        """HU averaged over the thickness of a vertebra, which leaves little of ribs, clavicles and the sternum."""
        width = self.voxels(VERTEBRA_MM)
        smooth: Hu = ndimage.uniform_filter(np.clip(self.hu, *BONE_RANGE_HU), width, mode="nearest")
        return smooth

    def voxels(self, length_mm: float) -> int:
        """Return an adult's length in voxels of this chest, at least 1."""
        return max(1, round(length_mm * self.unit / self.spacing_mm))

    def turn(self, order: Order, flips: Flips = (False, False, False)) -> "ChestView":
        """Return the view with its axes in another order, then flipped."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
        hu, lungs, outside = (part.transpose(order)[steps] for part in (self.hu, self.lungs, self.outside))
        return ChestView(hu, lungs, outside, self.spacing_mm)


def thumbnails(hu: Num[np.ndarray, "d h w"], spacing_mm: Spacing) -> Planes:
    """Average each slice over blocks of about `SPACING_MM`."""
    target_mm = _coarse_spacing_mm(hu.shape, spacing_mm)
    high, wide = (_block(target_mm, own, n) for own, n in zip(spacing_mm[1:], hu.shape[1:], strict=True))
    return np.stack([_mean_of_blocks(plane, high, wide) for plane in hu])


def thumbnail_spacing_mm(shape: tuple[int, ...], spacing_mm: Spacing) -> Spacing:
    """Return the spacing of the `thumbnails` of a volume."""
    target_mm = _coarse_spacing_mm(shape, spacing_mm)
    high, wide = (_block(target_mm, own, n) for own, n in zip(spacing_mm[1:], shape[1:], strict=True))
    return spacing_mm[0], high * spacing_mm[1], wide * spacing_mm[2]


def coarsen(
    hu: Num[np.ndarray, "d h w"], spacing_mm: Spacing, planes: Planes | None = None
) -> tuple[Float[np.ndarray, "coarse_d coarse_h coarse_w"], float]:
    """Average HU to an isotropic grid; return it and its spacing.

    Args:
        planes: The `thumbnails` of `hu`, if they have been made.
    """
    planes = thumbnails(hu, spacing_mm) if planes is None else planes
    target_mm = _coarse_spacing_mm(hu.shape, spacing_mm)
    blocks = [_block(target_mm, own, n) for own, n in zip(spacing_mm, hu.shape, strict=True)]
    slabs = planes[: len(hu) // blocks[0] * blocks[0]].reshape(-1, blocks[0], *planes.shape[1:]).mean(axis=1)
    factors = np.array(blocks) * spacing_mm / target_mm
    return ndimage.zoom(slabs, factors, order=1, mode="nearest", grid_mode=True), target_mm


def _coarse_spacing_mm(shape: tuple[int, ...], spacing_mm: Spacing) -> float:
    return max(SPACING_MM, float(np.cbrt(np.prod(np.array(shape) * spacing_mm) / MAX_VOXELS)))


def _block(target_mm: float, own_mm: float, size: int) -> int:
    """Return the number of voxels that fit into the coarse spacing."""
    return max(1, min(int(target_mm / own_mm + 1e-6), size))


def _mean_of_blocks(plane: Num[np.ndarray, "h w"], high: int, wide: int) -> Float[np.ndarray, "rows columns"]:
    height, width = plane.shape[0] // high, plane.shape[1] // wide
    rows = plane[: height * high].reshape(height, high, -1).sum(axis=1, dtype=np.float32)
    means: np.ndarray = rows[:, : width * wide].reshape(height, width, wide).sum(axis=2) / (high * wide)
    return means


def view_chest(hu: Hu, spacing_mm: float) -> ChestView | None:
    """Find the lungs in HU on an isotropic grid; return their surroundings, or None if there are no lungs."""
    outside = _outside_air(hu, spacing_mm)
    lungs = _lungs(hu, (hu < AIR_HU) & ~outside, spacing_mm)
    if np.count_nonzero(lungs) * spacing_mm**3 < MIN_LUNGS_ML * 1000:
        return None
    box = bounding_box(lungs, round(MARGIN_MM / spacing_mm))
    return ChestView(hu[box], lungs[box], outside[box], spacing_mm)


def _outside_air(hu: Hu, spacing_mm: float) -> Mask:
    """Return the wide empty space that reaches a side of the volume, with its blurred rim."""
    width = 2 * round(WIDE_MM / spacing_mm / 2) + 1
    empty = (hu < EMPTY_HU).astype(np.uint8)
    for extreme in (ndimage.minimum_filter1d, ndimage.maximum_filter1d):
        for axis in range(3):
            empty = extreme(empty, width, axis=axis, mode="nearest")
    sides = np.ones(hu.shape, dtype=bool)
    sides[1:-1, 1:-1, 1:-1] = False
    rim: Mask = ndimage.binary_dilation(touching_components(empty > 0, sides), iterations=2, mask=hu < AIR_HU)
    return rim


def _lungs(hu: Hu, inside: Mask, spacing_mm: float) -> Mask:
    """Return the wide parts of the air inside the body that tissue encloses and that are not as empty as gas."""
    labels, sizes = components(open_mask(inside, CORE_MM, spacing_mm))
    walls = _count_walls(hu, spacing_mm)
    is_lung = np.zeros(len(sizes) + 1, dtype=bool)
    for number in 1 + np.flatnonzero(sizes >= MIN_SHARE * sizes.max(initial=0)):
        own = labels == number
        core = erode(own, spacing_mm, spacing_mm)
        is_enclosed = float((walls[own] >= ENCLOSED_AXES).mean()) >= ENCLOSED_SHARE
        is_lung[number] = is_enclosed and core.any() and float(np.median(hu[core])) >= GAS_HU
    lungs: Mask = is_lung[labels]
    return lungs


def _count_walls(hu: Hu, spacing_mm: float) -> Shaped[np.ndarray, "d h w"]:
    """Count the directions, of the six along the axes, in which a voxel meets tissue."""
    tissue = open_mask(hu > TISSUE_HU, WALL_MM / 2, spacing_mm)
    seen: Shaped[np.ndarray, "d h w"] = np.zeros(tissue.shape, dtype=np.uint8)
    for axis in range(3):
        seen += np.logical_or.accumulate(tissue, axis=axis)
        seen += np.flip(np.logical_or.accumulate(np.flip(tissue, axis), axis=axis), axis)
    return seen
