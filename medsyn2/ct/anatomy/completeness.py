"""Whether a CT shows a whole chest, and one chest only."""

from collections.abc import Collection

import numpy as np

from medsyn2.ct.anatomy.axes import lung_valley
from medsyn2.ct.anatomy.evidence import middle_column
from medsyn2.ct.anatomy.view import ChestView
from medsyn2.ct.morphology import Mask
from medsyn2.facts import AnatomyFinding

REPEAT_VALLEY = 0.6
REPEAT_DICE = 0.6
LENGTH_RANGE = (0.5, 1.7)
"""Length of whole lungs over their width: 0.85 to 1.25 in nine CTs, and less where their bases are consolidated."""


def left_share(view: ChestView) -> float:
    """Return the left lung's share of the lungs."""
    at = np.nonzero(view.lungs)[2]
    return round(float((at > middle_column(view)).mean()), 3)


def is_repeated(view: ChestView) -> bool:
    """Return whether lungs of one shape lie twice above each other."""
    return lung_valley(view, 0) >= REPEAT_VALLEY and _largest_self_overlap(view.lungs[view.box]) >= REPEAT_DICE


def warn_of_length(view: ChestView, findings: Collection[AnatomyFinding]) -> list[str]:
    """Return a warning if whole lungs are too long or too short for their width, in a list that is empty otherwise.

    Slices whose distance was lost, or taken for their thickness, leave such lungs.
    """
    length, _, width = view.size
    if findings or LENGTH_RANGE[0] <= length / width <= LENGTH_RANGE[1]:
        return []
    return [
        f"the lungs are {length * view.spacing_mm:.0f} mm long and {width * view.spacing_mm:.0f} mm wide: the distance "
        "of the slices may be wrong"
    ]


def _largest_self_overlap(lungs: Mask) -> float:
    """Return the largest Dice of the lungs with themselves, moved by 0.3 to 0.7 of their height."""
    height = len(lungs)
    return max(
        (2 * float((lungs[by:] & lungs[:-by]).sum()) / float(lungs[by:].sum() + lungs[:-by].sum() + 1e-9))
        for by in range(max(1, round(0.3 * height)), max(2, round(0.7 * height)))
    )
