"""Whether a CT shows a whole chest, and one chest only."""

import numpy as np
from scipy import ndimage

from medsyn2.ct.anatomy.axes import lung_valley
from medsyn2.ct.anatomy.evidence import middle_column
from medsyn2.ct.anatomy.view import ChestView
from medsyn2.ct.morphology import Mask

REPEAT_VALLEY = 0.6
REPEAT_DICE = 0.6
LENGTH_RANGE = (0.62, 1.7)
"""Length of whole lungs over their width, times how flat the edges in them lie. In nine CTs it is 0.77 to 1.42, and
2.0 to 2.25 times that if the distance of their slices is 1.5 times too large."""
USUAL_STEEPNESS = 0.69
"""Of edges along the body over those within slices: 0.61 to 0.75 in nine CTs, whatever the size of the lungs."""
EDGE_MM = 6.0
CHEST_EDGE_RANGE_HU = (-1000.0, 200.0)
MAX_TOUCHING = 0.1
"""Share of the slices in which whole lungs touch a side of the field of view."""


def left_share(view: ChestView) -> float:
    """Return the left lung's share of the lungs."""
    at = np.nonzero(view.lungs)[2]
    return round(float((at > middle_column(view)).mean()), 3)


def is_repeated(view: ChestView) -> bool:
    """Return whether lungs of one shape lie twice above each other."""
    return lung_valley(view, 0) >= REPEAT_VALLEY and _largest_self_overlap(view.lungs[view.box]) >= REPEAT_DICE


def warn_of_length(view: ChestView) -> list[str]:
    """Return a warning if lungs that are shown whole are too long or too short, in a list that is empty otherwise.

    Slices whose distance was lost, or taken for their thickness, leave such lungs. Deep breath and build make lungs
    long or short as well; but then the vessels in them run as usual, while a wrong distance draws all out alike.
    """
    length, _, width = view.size
    if LENGTH_RANGE[0] <= measure_length(view) <= LENGTH_RANGE[1]:
        return []
    long_mm, wide_mm = length * view.spacing_mm, width * view.spacing_mm
    return [
        f"the lungs are {long_mm:.0f} mm long and {wide_mm:.0f} mm wide, and their vessels are drawn out alike: the "
        "distance of the slices may be wrong"
    ]


def measure_length(view: ChestView) -> float:
    """Return how long a chest is against its width, by its lungs and by the edges in it; usually near 1."""
    length, _, width = view.size
    hu = view.hu.clip(*CHEST_EDGE_RANGE_HU)
    sigma = EDGE_MM * view.unit / view.spacing_mm
    along, *within = (
        float(np.square(ndimage.gaussian_filter(hu, sigma, order=order, truncate=3.0)[view.box]).mean())
        for order in np.eye(3, dtype=int)
    )
    steepness = np.sqrt(along / np.sqrt(np.prod(within)))
    return float(length / width * USUAL_STEEPNESS / steepness)


def has_sides(view: ChestView) -> bool:
    """Return whether the field of view shows both lungs to their sides, with the wall of the chest around them."""
    sides = view.outside[view.box[0]].copy()
    sides[:, [0, -1]] = True
    sides[:, :, [0, -1]] = True
    near = ndimage.binary_dilation(sides, np.ones((1, 3, 3), bool))
    touches = (near & view.lungs[view.box[0]]).any(axis=(1, 2))
    return float(touches.mean()) <= MAX_TOUCHING


def _largest_self_overlap(lungs: Mask) -> float:
    """Return the largest Dice of the lungs with themselves, moved by 0.3 to 0.7 of their height."""
    height = len(lungs)
    return max(
        (2 * float((lungs[by:] & lungs[:-by]).sum()) / float(lungs[by:].sum() + lungs[:-by].sum() + 1e-9))
        for by in range(max(1, round(0.3 * height)), max(2, round(0.7 * height)))
    )
