"""A shelf of masks: those of phantoms, on the grid of a model.

A phantom is painted, its CT is registered to the model's template like any other, and its true masks follow by the same
affine. So a mask from the shelf lies in a chest as the masks of the training did.
"""

from collections.abc import Sequence

from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import Grid, LabelMap
from medsyn2.errors import MaskError
from medsyn2.phantoms.lesions import Demand
from medsyn2.phantoms.reports import describe
from medsyn2.phantoms.scanner import draw_acquisition, scan
from medsyn2.phantoms.subject import Subject, draw_subject, stream
from medsyn2.vocabulary import STRUCTURES, Structure

SEED = 0
"""Seed of the shelf's phantoms."""
SPACING_MM = 3.0
"""Spacing of their CTs, that of the embedded cohort."""
_TRIES = 20
"""Phantoms that are tried for a lesion that fits into few."""


def draw_for(demands: Sequence[Demand], number: int) -> Subject:
    """Draw a phantom with the lesions that are asked for, the first from a number on that has room for them.

    Raises:
        MaskError: If none of twenty has.
    """
    for index in range(number, number + _TRIES):
        try:
            return draw_subject(SEED, index, tuple(demands))
        except MaskError as error:
            refusal = error
    raise refusal


def take_masks(subject: Subject, reference: Reference, grid: Grid) -> dict[Structure, LabelMap]:
    """Return the masks of a phantom on a model's grid, without those that are empty."""
    phantom = scan(subject, draw_acquisition(subject, SPACING_MM))
    matrix = reference.align(phantom.volume).template_to_native_lps_mm
    found = {name: resample_mask(phantom.truth[name], grid, matrix) for name in STRUCTURES}
    return {name: LabelMap(mask, grid.affine_mm) for name, mask in found.items() if mask.any()}


def report_of(subject: Subject) -> str:
    """Return the findings of a phantom's report."""
    return describe(subject, stream(subject.seed, subject.index, "report")).findings
