"""The verdict over a cohort's orientation and completeness, from the records of its inventory.

A template is made of the cohort itself, so a whole cohort that lies upside down, or mirrored, fits its template as well
as a right one. Only the anatomy of each CT can tell, before a template is made.
"""

from collections.abc import Iterable

from medsyn2.ct.anatomy.verdict import WORDS, common_findings, verdict_of
from medsyn2.errors import SystematicError
from medsyn2.facts import InventoryFacts
from medsyn2.store.artefacts import Manifest


def stop_if_disordered(manifests: Iterable[Manifest[InventoryFacts]]) -> None:
    """Stop where the chests of most cases clearly lie otherwise than their headers say, or are no whole chests.

    Cases whose headers are trusted say nothing.

    Raises:
        SystematicError: If at least three cases, and half of those that tell, have one finding.
    """
    shards = list(manifests)
    verdicts = [verdict_of(record.facts.anatomy) for shard in shards for record in shard.records.values()]
    codes = [refusal.problem.code for shard in shards for refusal in shard.refused.values()]
    verdicts += [{word: word == code for word in WORDS} for code in codes if code in WORDS]
    for finding, (having, told) in common_findings(verdicts).items():
        raise SystematicError(
            f"{having} of {told} CTs {WORDS[finding]}.",
            code="cohort-disordered",
            remedy="the conversion of the cohort is wrong, not the cases; look at one of them, and convert or "
            "crop the series anew. If the files are right, set inventory.orientation: trust.",
        )
