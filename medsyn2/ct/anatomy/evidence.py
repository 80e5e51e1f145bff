"""Evidence for the directions of a chest, each from -1 (against the array's axes) over 0 to 1 (for them).

A piece of evidence is a difference that turns its sign when the chest is turned over, divided by its usual size in
healthy adults and clipped. None means that the CT does not show the organ: absence of evidence is no evidence. The
directions build on each other: front and back are judged in a chest that stands upright, left and right in one that
also faces forward.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from medsyn2.ct.anatomy.spine import around_lungs, darkest_of_widest_path, spine_path
from medsyn2.ct.anatomy.view import ChestView
from medsyn2.ct.morphology import Mask
from medsyn2.types import Bool, Float, Int

BONE_HU = 150.0
"""Of bone that is averaged over 4 mm."""
SOLID_HU = (0.0, 150.0)
AIRWAY_HU = -500.0
CUT_BELOW, CUT_ABOVE = 0.6, 0.4
"""Section of the lungs in the CT's end slices, over the largest, from which their base is cut above the domes, and
their top below the aortic arch."""

Evidence = Callable[[ChestView], float | None]


def _score(difference: float, usual: float) -> float:
    return round(float(np.clip(difference / usual, -1.0, 1.0)), 3)


# ---- up and down


def domes(view: ChestView) -> float | None:
    """Tell whether both ends of the lungs bulge upwards: their tops, and the diaphragm into their base."""
    foot, low, high = _columns(view)
    inner = _inner(foot)
    rim = foot & ~inner
    if not inner.any() or not rim.any():
        return None
    bulges = [float(surface[inner].mean() - surface[rim].mean()) for surface in (low, high)]
    return _score(sum(bulges) / view.size[0], 0.1)


def shoulders(view: ChestView) -> float | None:
    """Tell whether bone to the sides, away from the lungs, lies beside their upper third or their lower one."""
    far = _side_bone(view, (25.0, 120.0))[view.box[0]]
    third = max(1, view.size[0] // 3)
    low, high = int(far[:third].sum()), int(far[-third:].sum())
    if low + high < view.voxels(25.0) ** 3:
        return None
    return _unless_cut(view, _score((high - low) / (high + low), 0.5))


def liver(view: ChestView) -> float | None:
    """Tell whether solid tissue lies under the lungs rather than over them."""
    foot, low, high = _columns(view)
    inner = _inner(foot)
    below, above = _beyond(view, inner, low, -1), _beyond(view, inner, high, 1)
    return None if below is None or above is None else _score(below - above, 0.2)


def trachea(view: ChestView) -> float | None:
    """Tell at which end of the lungs a round spot of air stays near the middle from slice to slice."""
    depth, part = view.box[0], max(1, round(0.3 * view.size[0]))
    low = np.mean([_has_spot(view, at) for at in range(depth.start, depth.start + part)])
    high = np.mean([_has_spot(view, at) for at in range(depth.stop - part, depth.stop)])
    return None if max(low, high) < 0.3 else _unless_cut(view, _score(float(high - low), 0.5))


def heart_low(view: ChestView) -> float | None:
    """Tell whether the tissue between the lungs is widest in their lower half."""
    at = np.nonzero(view.between)[0]
    return None if at.size < view.voxels(30.0) ** 3 else _score((view.centre[0] - at.mean()) / view.size[0], 0.05)


# ---- front and back


def spine(view: ChestView) -> float | None:
    """Tell whether thick bone runs through behind the lungs' middle or in front of it."""
    depth, rows, columns = around_lungs(view)
    weight = view.thick_bone[depth, rows, columns]
    cut = round(view.centre[1]) - rows.start
    if not 0 < cut < weight.shape[1]:
        return None
    front, back = darkest_of_widest_path(weight[:, :cut]), darkest_of_widest_path(weight[:, cut:])
    return None if max(front, back) < 80.0 else _score(back - front, 60.0)


def ribs_behind(view: ChestView) -> float | None:
    """Tell where the ribs and shoulder blades are, whose front ends are cartilage."""
    rows = np.nonzero(_side_bone(view, (0.0, 25.0))[view.box[0]])[1]
    return None if rows.size < 50 else _score(float(np.sign(rows - view.centre[1]).mean()), 0.25)


def low_behind(view: ChestView) -> float | None:
    """Tell whether the lungs reach lower behind than in front."""
    depth = view.box[0]
    low = np.nonzero(view.lungs[depth.start : depth.start + max(1, view.size[0] // 5)])[1]
    return _score((float(low.mean()) - view.centre[1]) / view.size[1], 0.1)


# ---- left and right


def heart_left(view: ChestView) -> float | None:
    """Tell on which side of the spine there is more tissue between the lungs, in front and in their lower half."""
    if is_cut(view):  # the lower half may be that of the liver's dome, or of the great vessels
        return None
    middle, depth = middle_column(view), view.box[0].start + np.array([0.1, 0.5]) * view.size[0]
    front = view.box[1].start + round(0.6 * view.size[1])
    tissue = view.between[round(depth[0]) : round(depth[1]), :front]
    left, right = int(tissue[:, :, middle + 1 :].sum()), int(tissue[:, :, :middle].sum())
    return None if left + right < view.voxels(30.0) ** 3 else _score((left - right) / (left + right), 0.2)


def liver_right(view: ChestView) -> float | None:
    """Tell under which lung the tissue is solid; the other one lies on gas, fat and spleen."""
    foot, low, _ = _columns(view)
    inner, is_left = _inner(foot), np.arange(foot.shape[1]) > middle_column(view)
    right, left = _beyond(view, inner & ~is_left, low, -1), _beyond(view, inner & is_left, low, -1)
    return None if right is None or left is None else _score(right - left, 0.2)


def aorta_left(view: ChestView) -> float | None:
    """Tell at which side of the vertebrae's front the lung keeps away: there the aorta descends."""
    if is_cut(view):  # the middle may be that of the arch, or of the crura
        return None
    near, far, before = view.voxels(10.0), view.voxels(34.0), view.voxels(50.0)
    low, high = round(0.2 * view.size[0]), round(0.6 * view.size[0])
    shares = []
    for at, (row, column) in list(enumerate(spine_path(view)))[low:high]:
        rows = view.lungs[view.box[0].start + at, max(row - before, 0) : max(row - near, 1)]
        right = rows[:, max(column - far, 0) : max(column - near, 0)]
        left = rows[:, column + near + 1 : column + far + 1]
        if right.size and left.size:
            shares.append(right.mean() - left.mean())
    return _score(float(np.mean(shares)), 0.4) if shares else None


UP: dict[str, Evidence] = {
    "domes": domes,
    "shoulders": shoulders,
    "liver": liver,
    "trachea": trachea,
    "heart": heart_low,
}
BACK: dict[str, Evidence] = {"spine": spine, "ribs": ribs_behind, "recess": low_behind}
LEFT: dict[str, Evidence] = {"heart": heart_left, "liver": liver_right, "aorta": aorta_left}


def cut_shares(view: ChestView) -> tuple[float, float]:
    """Return the lungs' section in the CT's first and last slice over the largest; 0 where the lungs end before."""
    section = view.lungs.sum(axis=(1, 2))
    return round(float(section[0] / section.max()), 3), round(float(section[-1] / section.max()), 3)


def is_cut(view: ChestView) -> bool:
    """Return whether an end of the lungs is cut off, so that heights within them mean little."""
    below, above = cut_shares(view)
    return below >= CUT_BELOW or above >= CUT_ABOVE


def _unless_cut(view: ChestView, score: float) -> float | None:
    """Return a score that compares both ends of the lungs, unless the end it speaks against is cut off."""
    below, above = cut_shares(view)
    return None if (above if score < 0 else below) >= CUT_ABOVE else score


_Foot = Bool[np.ndarray, "h w"]
_Plane = Int[np.ndarray, "h w"]


def _columns(view: ChestView) -> tuple[_Foot, _Plane, _Plane]:
    """Return where the lungs are, seen from above, and the first and last slice of them there."""
    foot = np.asarray(view.lungs.any(axis=0))
    return foot, view.lungs.argmax(axis=0), len(view.lungs) - 1 - view.lungs[::-1].argmax(axis=0)


def _inner(foot: _Foot) -> _Foot:
    """Return the half of an area that is farther from its border."""
    depth: Float[np.ndarray, "h w"] = ndimage.distance_transform_edt(np.pad(foot, 1))[1:-1, 1:-1]
    inner: _Foot = foot & (depth > np.median(depth[foot]))
    return inner


def _beyond(view: ChestView, foot: _Foot, surface: _Plane, step: int) -> float | None:
    """Return the share of solid tissue within 40 mm beyond a surface; None if the CT ends before."""
    rows, columns = np.nonzero(foot)
    reach = np.arange(2, 2 + view.voxels(40.0))[:, None]
    at = surface[rows, columns] + step * reach
    inside = (at >= 0) & (at < len(view.hu))
    if not inside.size or inside.mean() < 0.5:
        return None
    hu = view.hu[at[inside], np.broadcast_to(rows, at.shape)[inside], np.broadcast_to(columns, at.shape)[inside]]
    return float(((hu > SOLID_HU[0]) & (hu < SOLID_HU[1])).mean())


def _side_bone(view: ChestView, distance_mm: tuple[float, float]) -> Mask:
    """Return the bone beside the middle of the chest, not between the lungs, at a distance from them."""
    away_mm = ndimage.distance_transform_edt(~view.lungs) * view.spacing_mm / view.unit
    middle = (view.box[2].start + view.box[2].stop) / 2
    aside = np.abs(np.arange(view.hu.shape[2]) - middle) > view.voxels(45.0)
    bone: Mask = (view.hu > BONE_HU) & ~view.between & aside
    bone &= (away_mm >= distance_mm[0]) & (away_mm < distance_mm[1])
    return bone


def _has_spot(view: ChestView, at: int) -> bool:
    """Return whether a slice has a spot of air of an airway's size near the middle of the chest."""
    labels, _ = ndimage.label((view.hu[at] < AIRWAY_HU) & ~view.outside[at])
    return any(
        _is_airway(view, labels[box] == number, box) for number, box in enumerate(ndimage.find_objects(labels), 1)
    )


def _is_airway(view: ChestView, spot: Bool[np.ndarray, "h w"], box: tuple[slice, slice]) -> bool:
    area_mm2 = int(np.count_nonzero(spot)) * (view.spacing_mm / view.unit) ** 2
    across = view.box[2]
    off = abs((box[1].start + box[1].stop - across.start - across.stop) / 2)
    return 50 <= area_mm2 <= 700 and max(spot.shape) <= 2.5 * min(spot.shape) and off < 0.15 * view.size[2]


def middle_column(view: ChestView) -> int:
    return int(np.median(spine_path(view)[:, 1]))
