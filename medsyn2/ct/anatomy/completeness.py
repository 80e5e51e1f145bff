"""Whether a CT shows a whole chest, and one chest only."""

import numpy as np

from medsyn2.ct.anatomy.axes import lung_valley
from medsyn2.ct.anatomy.evidence import middle_column
from medsyn2.ct.anatomy.view import ChestView
from medsyn2.ct.morphology import Mask

REPEAT_VALLEY = 0.6
REPEAT_DICE = 0.6


def left_share(view: ChestView) -> float:
    """Return the left lung's share of the lungs."""
    at = np.nonzero(view.lungs)[2]
    return round(float((at > middle_column(view)).mean()), 3)


def is_repeated(view: ChestView) -> bool:
    """Return whether lungs of one shape lie twice above each other."""
    return lung_valley(view, 0) >= REPEAT_VALLEY and _largest_self_overlap(view.lungs[view.box]) >= REPEAT_DICE


def _largest_self_overlap(lungs: Mask) -> float:
    """Return the largest Dice of the lungs with themselves, moved by 0.3 to 0.7 of their height."""
    height = len(lungs)
    return max(
        (2 * float((lungs[by:] & lungs[:-by]).sum()) / float(lungs[by:].sum() + lungs[:-by].sum() + 1e-9))
        for by in range(max(1, round(0.3 * height)), max(2, round(0.7 * height)))
    )
