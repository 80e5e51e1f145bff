"""Sizes of the studies of control, for their code and for the estimate of their cost.

Here and not beside their code, because the estimate needs none of what the code imports.
"""

from medsyn2.reports.editing import FINDINGS
from medsyn2.vocabulary import Structure

TIMES = tuple((tenth + 0.5) / 10 for tenth in range(10))
"""Times of the flow at which its loss is measured: the middle of each tenth."""

OF_A_SIDE: frozenset[Structure] = FINDINGS - {"pericardial_effusion"}
"""Findings that may be on the left, on the right, or on both sides."""


def num_edits(structure: Structure) -> int:
    """Return how many edits a mask of a structure has, at most: mirrored, moved, each side kept, removed."""
    return 2 + 2 * (structure in OF_A_SIDE) + (structure in FINDINGS)
