"""The verdict over a cohort's orientation and completeness, from the records of its inventory.

A template is made of the cohort itself, so a whole cohort that lies upside down, or mirrored, fits its template as well
as a right one. Only the anatomy of each CT can tell, before a template is made.
"""

from collections.abc import Iterable

from medsyn2.ct.anatomy.evidence import LEFT
from medsyn2.ct.anatomy.judgement import leaning
from medsyn2.errors import SystematicError
from medsyn2.facts import AnatomyFacts, InventoryFacts
from medsyn2.store.artefacts import Manifest

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
"""What a cohort does, by finding or by the code of a refused case."""


def stop_if_disordered(manifests: Iterable[Manifest[InventoryFacts]]) -> None:
    """Stop where the chests of most cases clearly lie otherwise than their headers say, or are no whole chests.

    Cases whose headers are trusted say nothing.

    Raises:
        SystematicError: If at least three cases, and half of those that tell, have one finding.
    """
    shards = list(manifests)
    anatomies = [record.facts.anatomy for shard in shards for record in shard.records.values()]
    verdicts = [_verdicts(anatomy) for anatomy in anatomies if anatomy.findings is not None]
    codes = [refusal.problem.code for shard in shards for refusal in shard.refused.values()]
    verdicts += [{word: word == code for word in WORDS} for code in codes if code in WORDS]
    for finding, words in WORDS.items():
        told = [verdict[finding] for verdict in verdicts if finding in verdict]
        if sum(told) >= MIN_CASES and sum(told) >= SHARE * len(told):
            raise SystematicError(
                f"{sum(told)} of {len(told)} CTs {words}.",
                code="cohort-disordered",
                remedy="the conversion of the cohort is wrong, not the cases; look at one of them, and convert or "
                "crop the series anew. If the files are right, set inventory.orientation: trust.",
            )


def _verdicts(anatomy: AnatomyFacts) -> dict[str, bool]:
    """Return whether a usable CT has each finding, of those that it can tell.

    Left and right count from a weaker lean than in a single case, because others must agree.
    """
    if anatomy.lung_ml == 0:
        return {}
    found = {finding: finding in (anatomy.findings or ()) for finding in WORDS if finding != "mirrored"}
    side = leaning(anatomy.left, LEFT)
    return found | ({"mirrored": side < 0} if side else {})
