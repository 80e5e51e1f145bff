"""Requests for a volume, their edits (Fig. 4), and requests that grow (Fig. 5): the report changes with the mask.

An edit leaves mask and report true of each other. A mirrored finding has its sides exchanged in the report too; a moved
one is described as before, since reports seldom say more than the lobe; one of which the left or the right part is kept
loses the sentences on the other; a removed one has an empty mask, which says that it is nowhere, and no sentence. An
organ is mirrored and moved alone, and the report, which states it as no finding, stays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool

from medsyn2.ct.mask_edits import keep_half, mirror_mask, shift_mask
from medsyn2.ct.volume import LabelMap, Spacing
from medsyn2.evaluation.control.sizes import OF_A_SIDE
from medsyn2.evaluation.held_out import Case
from medsyn2.facts import Report
from medsyn2.reports.editing import FINDINGS, add_finding, keep_side, mirror_report, remove_finding
from medsyn2.vocabulary import SIDES, Structure

Mask = Bool[np.ndarray, "d h w"]


@dataclass(frozen=True)
class Request:
    """A mask as the model gets it, the region that a segmenter can find again (of lobes, the lungs), and the report."""

    structure: Structure
    given: LabelMap
    region: Mask
    report: Report | None = None

    def edits(self, by_mm: Spacing) -> Iterator[tuple[str, "Request"]]:
        """Yield the request with mask and report edited, each edit with its name."""
        said, spacing_mm = self.report, self.given.spacing_mm
        yield "mirrored", self._change(mirror_mask, said and mirror_report(said, self.structure))
        yield "moved", self._change(partial(shift_mask, by_mm=by_mm, spacing_mm=spacing_mm), said)
        if self.structure in OF_A_SIDE and all(keep_half(self.region, side).any() for side in SIDES):
            for side in SIDES:
                report = said and keep_side(said, self.structure, side)
                yield f"{side} kept", self._change(partial(keep_half, side=side), report)
        if self.structure in FINDINGS:
            yield "removed", self._change(np.zeros_like, said and remove_finding(said, self.structure))

    def report_state(self, before: "Request") -> Literal["none", "unchanged", "edited"]:
        """Return whether there is a report, and whether it differs from that of the request before."""
        if self.report is None:
            return "none"
        return "unchanged" if self.report == before.report else "edited"

    def _change(self, change: Callable[[Mask], Mask], report: Report | None) -> "Request":
        given = LabelMap(change(self.given.binary()), self.given.affine_mm)
        return Request(self.structure, given, change(self.region), report)


def request_of(case: Case, structure: Structure, report: Report | None = None) -> Request:
    """Return the request for a structure of a case, with a report or without."""
    return Request(structure, case.mask(structure), case.region(structure).binary(), report)


def grow_requests(case: Case, structures: Sequence[Structure], healthy: Report | None) -> list[Request]:
    """Return a pair of mask and report for each structure; each report adds the structure to the one before.

    Args:
        healthy: The report to start from; None for masks alone.
    """
    report, requests = healthy, []
    for structure in structures:
        report = report and add_finding(report, structure, case.report)
        requests.append(request_of(case, structure, report))
    return requests
