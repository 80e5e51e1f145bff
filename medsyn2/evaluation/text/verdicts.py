"""The words of a comparison of synthetic with real volumes in a space of embeddings.

A space in which real volumes of the same cases are not above chance sees nothing, and a generator that is no worse in
it has shown nothing: there is no verdict. Otherwise the verdict follows from the interval of the difference, whose
level is divided among the comparisons of a table (Bonferroni), so that with equally good generators a table has a wrong
word in at most 5 % of runs.
"""

from math import isnan

from medsyn2.evaluation.statistics.intervals import LEVEL, Interval

ABOVE_CHANCE = "above chance"
BLIND = "not above chance: this space sees nothing"
FEW = "no verdict: too few cases"
NOTHING_SEEN = "no verdict: this space sees nothing in real volumes"
BELOW, ABOVE, NONE_SHOWN = "below real", "above real", "no difference shown"


def family_level(num: int) -> float:
    """Return the coverage of each of so many intervals that share the error of one of 95 %."""
    return 1 - (1 - LEVEL) / max(1, num)


def sight(real: Interval, chance: float) -> str:
    """Return whether real volumes are above chance, from the interval of their score."""
    if isnan(real[0]):
        return FEW
    return ABOVE_CHANCE if real[0] > chance else BLIND


def verdict(adjusted: Interval, real: Interval, chance: float) -> str:
    """Return the outcome of a comparison.

    Args:
        adjusted: Interval of the difference, at the level of the family.
        real: Interval of the real volumes' score.
    """
    if isnan(adjusted[0]) or isnan(real[0]):
        return FEW
    if real[0] <= chance:
        return NOTHING_SEEN
    if adjusted[1] < 0:
        return BELOW
    return ABOVE if adjusted[0] > 0 else NONE_SHOWN
