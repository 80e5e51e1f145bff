"""The axes of a chest: the spine runs along the body, and the lungs lie beside each other.

Both hold in any orientation and at any scale. Where the two agree on an order of the array's axes other than the
header's, the chest lies on its side, or its array was transposed.
"""

import numpy as np

from medsyn2.ct.anatomy.spine import AROUND_MM, darkest_of_widest_path
from medsyn2.ct.anatomy.view import ChestView, Order
from medsyn2.types import Float

MIN_BONE_HU = 90.0
BONE_RATIO = 1.15
MIN_VALLEY = 0.4


def find_order(view: ChestView) -> Order | None:
    """Return the axes of the array that run along the body, front to back and side to side; None if it is unclear."""
    bone, valleys = np.array(bones_along(view)), np.array([lung_valley(view, axis) for axis in range(3)])
    along, beside = int(bone.argmax()), int(valleys.argmax())
    others = np.delete(bone, along).max(), np.delete(valleys, beside).max()
    is_clear = (
        bone[along] >= max(MIN_BONE_HU, BONE_RATIO * others[0])
        and valleys[beside] >= max(MIN_VALLEY, 2 * others[1])
        and along != beside
    )
    return (along, 3 - along - beside, beside) if is_clear else None


def bones_along(view: ChestView) -> list[float]:
    """Return the HU that thick bone keeps along each axis, from one end of the lungs to the other."""
    around = view.voxels(AROUND_MM)
    near = [slice(max(span.start - around, 0), span.stop + around) for span in view.box]
    values = []
    for axis in range(3):
        part = tuple(view.box[n] if n == axis else near[n] for n in range(3))
        values.append(darkest_of_widest_path(np.moveaxis(view.thick_bone[part], axis, 0)))
    return values


def lung_valley(view: ChestView, axis: int) -> float:
    """Return how deep the lungs' section falls between two humps along an axis, from 0 to 1."""
    section = view.lungs[view.box].sum(axis=tuple({0, 1, 2} - {axis})).astype(np.float64)
    return _deepest_valley(section / section.max())


def _deepest_valley(profile: Float[np.ndarray, " n"]) -> float:
    rims = np.minimum(np.maximum.accumulate(profile), np.maximum.accumulate(profile[::-1])[::-1])
    return float((rims - profile).max())
