"""The verdict over the orientation and completeness of a set of CTs.

One odd CT can be an odd patient. Where most of those that tell anything lie otherwise than their headers say, the
conversion of the set is wrong. Left and right count from a weaker lean than in a single CT, because others must agree.
"""

from collections.abc import Mapping, Sequence

from medsyn2.ct.anatomy.evidence import LEFT
from medsyn2.ct.anatomy.judgement import leaning
from medsyn2.facts import AnatomyFacts

MIN_CASES = 3
"""One or two odd cases can be odd patients."""
SHARE = 0.5

WORDS = {
    "axes-turned": "have the axes of the chest in another order than their headers say",
    "upside-down": "lie upside down",
    "back-to-front": "have front and back exchanged",
    "mirrored": "have left and right exchanged (heart, liver and aorta on the wrong side)",
    "chest-repeated": "hold the same lungs twice above each other",
    "lungs-cut": "show only a part of the lungs",
    "one-lung": "show only one lung",
}
"""How the CTs of a set lie, by finding, which is also the code of a refused case."""

Verdict = Mapping[str, bool]


def verdict_of(anatomy: AnatomyFacts) -> Verdict:
    """Return whether a CT has each finding, of those that it can tell; one whose header is trusted tells nothing."""
    if anatomy.findings is None or anatomy.lung_ml == 0:
        return {}
    found = {finding: finding in anatomy.findings for finding in WORDS if finding != "mirrored"}
    side = leaning(anatomy.left, LEFT)
    return found | ({"mirrored": side < 0} if side else {})


def common_findings(verdicts: Sequence[Verdict]) -> dict[str, tuple[int, int]]:
    """Return the findings of at least three CTs and half of those that tell, with both numbers."""
    counts = {}
    for finding in WORDS:
        told = [verdict[finding] for verdict in verdicts if finding in verdict]
        if sum(told) >= MIN_CASES and sum(told) >= SHARE * len(told):
            counts[finding] = (sum(told), len(told))
    return counts
