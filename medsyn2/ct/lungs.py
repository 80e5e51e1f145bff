"""Lung segmentation without trained weights.

Lungs are air inside the body. The difficulty is all other air: around the patient, inside the table, in the trachea,
in stomach and bowel. The rules that separate them do not need the whole body in view, so they also hold for volumes
that are cropped to the lungs, cut by the field of view or padded with air:

* *outside air* is empty (-1000 HU, against about -850 in aerated lung) and reaches a side of the volume;
* lung is *enclosed*: tissue stands in at least three of the four directions of the axial slice, and in all four
  somewhere; plates too thin for a chest wall, such as the table's, do not count as tissue;
* air that is as empty as that around the patient and opens to it within a slice, such as the gap between an arm and
  the chest, is outside too;
* the *trachea* is a round spot of air that persists from slice to slice between the lungs, above their middle;
* *gas* in stomach and bowel is as empty as outside air.

A field of view that ends within the lungs is no wall and no air: the padding beyond it, known by its place
(`field_of_view`), counts as tissue unseen.

A watershed of the distance to their surface then separates the lungs, and a closing with a ball adds vessels and most
dense disease against the pleura. A map of one lung is checked: where the spine shows lung on both of its sides, the
spot of air that parted them was no trachea.
"""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medsyn2.ct.field_of_view import EDGE_VOXELS, Columns, find_padding, widen
from medsyn2.ct.geometry import isotropic
from medsyn2.ct.morphology import (
    Mask,
    bounding_box,
    close_mask,
    components,
    depth_mm,
    fill_holes,
    open_mask,
    remove_small,
    touching_components,
)
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import InvalidVolumeError
from medsyn2.types import Bool, Float, Num, Shaped

LUNG_NAMES = {1: "left_lung", 2: "right_lung"}

AIR_HU = -400.0
EMPTY_HU = -940.0
TISSUE_HU = -300.0
GAS_HU = -950.0
BONE_HU = 200.0

RIM_MM = 6.0
WIDE_MM = 24.0
WALL_MM = 8.0
TRACHEA_MM2 = (50.0, 700.0)
TRACHEA_MM = 30.0
BETWEEN_SHARE = 0.1
"""Least share of the body's air on either side of the trachea; a pocket between arm and chest has all on one side."""
COMPONENT_ML = 20.0
HALF_THICKNESS_MM = 8.0
CORE_MM = 5.0
NEAR_VOXELS = 5
CUT_ML = 2.0
"""Least aerated lung so near to padded columns that the field of view ends within the lungs: a touch is less."""
ENCLOSED_SHARE = 0.25
"""Share of a slice's air that the trunk alone must enclose to count: both lungs, not a bubble in the stomach."""
WALLED_SHARE, MOSTLY_WALLED_SHARE = 0.1, 0.5
"""Shares of lung, of a slice's and of all, that meet tissue in three directions though the field of view is cut."""
CLOSED_SHARE = 0.25
"""Share of a slice's air that the trunk alone must enclose to count: both lungs, not a bubble in the stomach."""
MIXED_SHARE = 0.2
MAX_NECK_MM = 20.0
CLOSING_MM = 8.0
MIN_LUNGS_ML = 150.0
ONE_SIDED_SHARE = 0.05
"""Share of both lungs below which one counts as missing; it has 0.33 or more in nine public CTs."""
SPINE_SHARE = 0.3
"""Share of the lung on either side of the spine from which it is two lungs: one may bulge to the other side."""

_Hu = Float[np.ndarray, "d h w"]
_Labels = Shaped[np.ndarray, "d h w"]


class BodyAir(NamedTuple):
    """The air of a CT."""

    inside: Mask  # Air inside the body: lungs, airways, stomach and bowel
    outside: Mask  # Air around the body
    walls: _Labels  # Number of directions, of the four in its axial slice, in which a voxel meets tissue


def segment_lungs(volume: CTVolume, spacing_mm: float) -> LabelMap:
    """Segment the lungs of a CT on an isotropic grid.

    Airways are excluded down to the main bronchi, and so is pleural effusion; vessels, nodules and consolidation that
    the closing reaches are part of the lung.

    Args:
        volume: CT in HU, the whole thorax or a crop that contains the lungs.
        spacing_mm: Spacing of the result; 2 to 4 mm is sensible.

    Returns:
        Label map with 1 ``left_lung`` and 2 ``right_lung`` (the patient's sides).

    Raises:
        InvalidVolumeError: With code ``no-lungs`` if there is less lung than a small child has.
    """
    working = isotropic(volume, spacing_mm)
    smooth = smooth_hu(working.hu, spacing_mm)
    air = body_air(smooth, spacing_mm)
    trachea = find_trachea(air.inside, spacing_mm)
    lung = _lung_air(air.inside & ~trachea, smooth, air.walls, spacing_mm)
    labels = np.zeros(lung.shape, dtype=np.uint8)
    box = bounding_box(lung, margin_voxels=2)
    sides = _separate(lung[box], _find_midline(lung, trachea, smooth) - (box[2].start or 0), spacing_mm)
    labels[box] = _fill_lungs(sides, (air.outside | trachea)[box], spacing_mm)
    _reach_edge(labels, smooth, spacing_mm)
    lung_ml = float(np.count_nonzero(labels)) * spacing_mm**3 / 1000
    if lung_ml < MIN_LUNGS_ML:
        raise InvalidVolumeError(
            f"Expected lungs of at least {MIN_LUNGS_ML:.0f} ml, found {lung_ml:.0f} ml.",
            code="no-lungs",
            remedy="check that this is a chest CT in HU with the right spacing; leave it out otherwise.",
        )
    return LabelMap(labels, working.affine_mm, LUNG_NAMES)


def missing_lung(lungs: LabelMap) -> str | None:
    """Return the name of the lung that a map of both lacks, or has next to nothing of; None if it has both."""
    left, right = (np.count_nonzero(lungs.labels == label) for label in (1, 2))
    if min(left, right) >= ONE_SIDED_SHARE * (left + right):
        return None
    return "left lung" if left < right else "right lung"


def smooth_hu(hu: Num[np.ndarray, "d h w"], spacing_mm: float) -> _Hu:
    """Smooth HU lightly, against the noise of single voxels."""
    return ndimage.gaussian_filter(hu, min(1.5 / spacing_mm, 0.8), output=np.float32)


def body_air(smooth: _Hu, spacing_mm: float) -> BodyAir:
    """Separate the air inside the body from the air around it, in HU of `smooth_hu`."""
    padding = _padding_beside_lungs(smooth, spacing_mm)
    air = (smooth < AIR_HU) & ~widen(padding, EDGE_VOXELS)
    outside = _outside_air(smooth, air, spacing_mm)
    outside |= _gaps(smooth, air, outside)
    outside |= padding
    walls, with_end = _count_walls(smooth, air & ~outside, padding, spacing_mm)
    inside = air & ~outside & (with_end >= 3)
    if padding.any():
        inside = _keep_walled(inside, walls, WALLED_SHARE, _in_plane())  # Not clothes and table, which it cuts too.
        inside = _keep_walled(inside, walls, MOSTLY_WALLED_SHARE, None)
    return BodyAir(inside, outside, with_end)


def _padding_beside_lungs(smooth: _Hu, spacing_mm: float) -> Columns:
    """Return the padded columns of a CT whose field of view ends within the lungs; none of any other CT."""
    padding = find_padding(smooth)
    if not padding.any():
        return padding
    aerated = (smooth > EMPTY_HU) & (smooth < AIR_HU) & ~widen(padding, EDGE_VOXELS)
    # Not clothes and table, which tissue does not surround, nor the blurred surface of the skin, which is thin.
    walls = _directions(open_mask(smooth > TISSUE_HU, WALL_MM / 2, spacing_mm))
    near = _keep_walled(aerated, walls, WALLED_SHARE, _in_plane()) & widen(padding, NEAR_VOXELS)
    near = ndimage.binary_opening(near, np.ones((1, 3, 3), dtype=bool))
    return padding if np.count_nonzero(near) * spacing_mm**3 >= CUT_ML * 1000 else np.zeros_like(padding)


def _keep_walled(air: Mask, walls: _Labels, share: float, structure: Bool[np.ndarray, "3 3 3"] | None) -> Mask:
    """Return the pieces of air of which more than a share meets tissue in three directions."""
    labels, count = ndimage.label(air, structure=structure)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    walled = np.bincount(labels[walls >= 3], minlength=count + 1)
    return air & (walled > share * sizes)[labels]


def _outside_air(smooth: _Hu, air: Mask, spacing_mm: float) -> Mask:
    """Return the wide empty space that reaches a side of the volume, with its blurred rim."""
    # Wide, because a trachea that the top of the volume cuts is empty too and may touch that space.
    width = 2 * round(WIDE_MM / spacing_mm / 2) + 1
    empty = (smooth < EMPTY_HU).astype(np.uint8)
    for extreme in (ndimage.minimum_filter1d, ndimage.maximum_filter1d):
        for axis in (1, 2):
            empty = extreme(empty, width, axis=axis, mode="nearest")
    sides = np.zeros(empty.shape, dtype=bool)
    sides[:, [0, -1], :] = True
    sides[:, :, [0, -1]] = True
    rim_voxels = max(1, round(RIM_MM / spacing_mm))
    return ndimage.binary_dilation(touching_components(empty > 0, sides) & air, iterations=rim_voxels, mask=air)


def _gaps(smooth: _Hu, air: Mask, outside: Mask) -> Mask:
    """Return the empty air that opens to the outside within its slice, such as between an arm and the chest."""
    labels, count = ndimage.label(air, structure=_in_plane())
    open_to_outside = np.zeros(count + 1, dtype=bool)
    open_to_outside[labels[outside]] = True
    rest = air & ~outside & open_to_outside[labels]
    size = np.bincount(labels[rest], minlength=count + 1)
    empty = np.bincount(labels[rest & (smooth < EMPTY_HU)], minlength=count + 1)
    # Mostly empty, so that lung beside an unknown kind of padding is not taken for a gap.
    return rest & (2 * empty > size)[labels]


def _count_walls(smooth: _Hu, air: Mask, padding: Columns, spacing_mm: float) -> tuple[_Labels, _Labels]:
    """Count the directions, of the four in its axial slice, in which a voxel meets tissue.

    Where the trunk encloses a good part of the `air` of a slice, it alone counts: clothes between the arms are no lung.

    Returns:
        The number, and that with the end of a field of view that cuts the body taken for tissue.
    """
    tissue = smooth > TISSUE_HU
    thick = open_mask(tissue, WALL_MM / 2, spacing_mm)
    end = widen(padding, EDGE_VOXELS)
    if padding.any():  # Its circle touches the sides of the volume, where no padding shows.
        end[[0, -1], :] = end[:, [0, -1]] = True
    trunk = _find_trunk(tissue | end, thick) & (thick | end)
    enclosed = np.count_nonzero(air & (_directions(trunk) == 4), axis=(1, 2))
    closed = enclosed > CLOSED_SHARE * np.count_nonzero(air, axis=(1, 2))
    bound = np.where(closed[:, None, None], trunk, thick | end)
    with_end = _directions(bound)
    return _directions(bound & thick) if padding.any() else with_end, with_end


def _find_trunk(tissue: Mask, thick: Mask) -> Mask:
    """Return, of each slice, the piece of `tissue` that holds most of the `thick` tissue."""
    trunk = tissue.copy()
    for plane, own in zip(trunk, thick, strict=True):
        labels, count = ndimage.label(plane)
        if count > 1:
            plane &= labels == 1 + int(np.argmax(np.bincount(labels[own], minlength=count + 1)[1:]))
    return trunk


def _directions(tissue: Mask) -> _Labels:
    """Return in how many of the four directions of its axial slice each voxel meets `tissue`."""
    seen = np.zeros(tissue.shape, dtype=np.uint8)
    for axis in (1, 2):
        seen += np.logical_or.accumulate(tissue, axis=axis)
        seen += np.flip(np.logical_or.accumulate(np.flip(tissue, axis), axis=axis), axis)
    return seen


def _in_plane() -> Bool[np.ndarray, "3 3 3"]:
    """Return the neighbourhood of a voxel in its axial slice."""
    structure = ndimage.generate_binary_structure(3, 1)
    structure[[0, 2]] = False
    return structure


def find_trachea(air: Mask, spacing_mm: float) -> Mask:
    """Return the trachea, with the main bronchi as far as they show as tubes.

    It is the tallest stack of small, compact spots of air above the middle of all `air` inside the body, with air on
    both of its sides; of a patient with one lung, the tallest.
    """
    labels, count = ndimage.label(air, structure=_in_plane())
    if not count:
        return np.zeros_like(air)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:] * spacing_mm**2
    boxes = ndimage.find_objects(labels)
    sides_mm = spacing_mm * np.array([[box[axis].stop - box[axis].start for axis in (1, 2)] for box in boxes])
    compact = (sides_mm.max(axis=1) <= 3 * sides_mm.min(axis=1)) & (area >= 0.5 * sides_mm.prod(axis=1))
    spots = np.concatenate([[False], compact & (area >= TRACHEA_MM2[0]) & (area <= TRACHEA_MM2[1])])[labels]
    stacks, _ = ndimage.label(spots)
    lung_centre = np.average(np.arange(len(air)), weights=np.count_nonzero(air, axis=(1, 2)))
    spans = ndimage.find_objects(stacks)
    heights_mm = [max(span[0].stop - max(span[0].start, lung_centre), 0) * spacing_mm for span in spans]
    tall = [number for number, height in enumerate(heights_mm) if height >= TRACHEA_MM]
    between = [number for number in tall if _is_between(air, spans[number][2])]
    found = max(between or tall, key=lambda number: heights_mm[number], default=None)
    return np.zeros_like(air) if found is None else stacks == 1 + found


def _is_between(air: Mask, columns: slice) -> bool:
    """Tell whether a good share of the air lies on either side of `columns`."""
    by_column = np.count_nonzero(air, axis=(0, 1))
    least = BETWEEN_SHARE * by_column.sum()
    return bool(by_column[: columns.start].sum() >= least and by_column[columns.stop :].sum() >= least)


def _lung_air(inside: Mask, smooth: _Hu, walls: _Labels, spacing_mm: float) -> Mask:
    """Return the components that are lung: large, thick, well enclosed, and not as empty as bowel gas."""
    labels, sizes = components(remove_small(inside, COMPONENT_ML, spacing_mm))
    depth = depth_mm(labels > 0, spacing_mm)
    is_lung = [False]
    for number in range(1, len(sizes) + 1):
        own = labels == number
        core = own & (depth >= min(CORE_MM, float(depth[own].max())))
        thick = float(depth[own].max()) >= HALF_THICKNESS_MM
        empty = float(np.median(smooth[core])) < GAS_HU
        is_lung.append(thick and not empty and float((walls[own] == 4).mean()) >= ENCLOSED_SHARE)
    return np.array(is_lung)[labels]


def _find_midline(lung: Mask, trachea: Mask, smooth: _Hu) -> float:
    """Return the width index between the lungs, from the trachea or else from the bones."""
    spine = _find_spine(lung, smooth)
    if trachea.any():
        middle = float(np.nonzero(trachea)[2].mean())
        alone = min(_shares(lung, middle)) < ONE_SIDED_SHARE
        if not alone or spine is None or min(_shares(lung, spine)) < SPINE_SHARE:
            return middle
    return (lung.shape[2] - 1) / 2 if spine is None else spine


def _find_spine(lung: Mask, smooth: _Hu) -> float | None:
    """Return the median width index of the bones at the lungs' height; None if there are hardly any."""
    bone = smooth > BONE_HU
    bone[~lung.any(axis=(1, 2))] = False
    if np.count_nonzero(bone) <= lung.shape[0]:
        return None
    return float(np.median(np.nonzero(bone)[2]))


def _shares(lung: Mask, middle: float) -> tuple[float, float]:
    """Return the shares of the lung on either side of a width index."""
    by_column = np.count_nonzero(lung, axis=(0, 1))
    right = float(by_column[: int(middle) + 1].sum()) / max(float(by_column.sum()), 1.0)
    return right, 1.0 - right


def _separate(lung: Mask, middle: float, spacing_mm: float) -> _Labels:
    """Label the left lung 1 and the right lung 2, and cut a bridge between them where it is thinnest."""
    depth = depth_mm(lung, spacing_mm)
    for radius_mm in np.arange(0.0, MAX_NECK_MM, spacing_mm):
        labels, count = ndimage.label(depth > radius_mm)
        is_left = np.arange(lung.shape[2]) > middle
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        left = np.bincount(labels[:, :, is_left].ravel(), minlength=count + 1)[1:]
        share = left / np.maximum(sizes, 1)
        big = sizes * spacing_mm**3 >= COMPONENT_ML * 1000
        if not (big & (share > MIXED_SHARE) & (share < 1 - MIXED_SHARE)).any():
            break
    markers = np.concatenate([[0], np.where(share > 0.5, 1, 2)]).astype(np.uint8)[labels]
    if radius_mm == 0:
        return markers
    return _flood(markers, depth) * lung


def _flood(markers: _Labels, depth: Float[np.ndarray, "d h w"]) -> _Labels:
    """Grow `markers` over the volume; they meet where `depth` is lowest between them."""
    grown = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(-depth), sitk.GetImageFromArray(markers), markWatershedLine=False
    )
    return sitk.GetArrayFromImage(grown)


def _fill_lungs(sides: _Labels, not_lung: Mask, spacing_mm: float) -> _Labels:
    """Close and fill each lung, without the other one and `not_lung`."""
    labels = sides.astype(np.uint8)
    for side in LUNG_NAMES:
        solid = fill_holes(close_mask(sides == side, CLOSING_MM, spacing_mm))
        labels[solid & (labels == 0) & ~not_lung] = side
    return labels


def _reach_edge(labels: _Labels, smooth: _Hu, spacing_mm: float) -> None:
    """Let the lungs reach the end of a field of view that cuts them, over the voxels that are mixed with padding."""
    padding = _padding_beside_lungs(smooth, spacing_mm)
    mixed = (smooth < AIR_HU) & (widen(padding, EDGE_VOXELS) & ~padding)
    for side in LUNG_NAMES:
        grown = ndimage.binary_dilation(labels == side, _in_plane(), iterations=EDGE_VOXELS)
        labels[grown & mixed & (labels == 0)] = side
