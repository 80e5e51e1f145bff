"""The common template: the mean chest of some training cases, on the model's grid.

The case whose lung size is nearest to the median is the first template. All cases are registered to it and averaged
to the next template, and so on. An average inherits the shape of its start, so each round removes that bias: with M_i
the affine from the template to case i (from lung centre to lung centre), the mean affine is

    M = exp(mean of log M_i),

and the template's space is changed so that M becomes the identity. The template then has the mean size, shape and
pose, in the patients' own axes. It is centred in the grid, and nothing is scaled to fit.

A first case to which most others do not register is an outlier and is replaced by the next.

Source: Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006, for the mean of the
affines; Guimond et al., "Average brain models", CVIU 2000, for averaging without the bias of the start.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import expm, logm

from medsyn2.config import RegisterConfig
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.lungs import LUNG_NAMES
from medsyn2.ct.registration.affine import (
    OUTSIDE_HU,
    ChestCT,
    grid_box_mm,
    lung_box_mm,
    register_within_gates,
    resample_to_grid,
)
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import Affine, CTVolume, Grid, LabelMap, Spacing, axis_aligned_affine
from medsyn2.errors import ConfigError, EnvironmentFault, RegistrationError
from medsyn2.types import Float

log = logging.getLogger(__name__)

MARGIN_MM = 5.0
MAX_STARTS = 3
_NOT_COVERED = -32768


@dataclass(frozen=True)
class Consensus:
    """The common space of the cases."""

    start: str  # The case that was the first template
    # Last alignment of each case that passed the gates, to the template of the last round
    alignments: Mapping[str, Alignment]
    to_native_lps_mm: Mapping[str, Affine]  # For each of them, the final template to its native CT
    refused: Mapping[str, str]  # Code of the gate that each other case failed


Posed = tuple[CTVolume, LabelMap, Affine]
"""A CT, its lungs, and the affine from the template to it."""


def grid_around(shape: tuple[int, int, int], spacing_mm: Spacing, centre_mm: Sequence[float]) -> Grid:
    """Return the grid along the world's axes whose middle is at `centre_mm` (x, y, z)."""
    half_mm = (np.array(shape) - 1) / 2 * spacing_mm
    first = np.array(centre_mm) - half_mm[::-1]
    affine = axis_aligned_affine(spacing_mm, (float(first[0]), float(first[1]), float(first[2])))
    # In the numbers of a NIfTI header, so that it holds the grid exactly.
    return Grid(shape, affine.astype(np.float32).astype(np.float64))


def working_grid(grid: Grid, spacing_mm: float) -> Grid:
    """Return the isotropic grid along the world's axes that covers a grid, with the same middle."""
    shape = [max(2, round(n * own / spacing_mm)) for n, own in zip(grid.shape, grid.spacing_mm, strict=True)]
    middle = grid.affine_mm @ [*((np.array(grid.shape) - 1) / 2), 1.0]
    return grid_around((shape[0], shape[1], shape[2]), (spacing_mm,) * 3, middle[:3].tolist())


Outcome = Alignment | str
"""An alignment that passes the gates, or the code of the gate that it fails."""

Remember = Callable[[str, Callable[[], Outcome]], Outcome]
"""Returns the outcome of a registration by its name: one that is kept from a killed job, or the one computed now."""


def compute_outcome(name: str, compute: Callable[[], Outcome]) -> Outcome:
    """Compute an outcome; nothing is kept."""
    return compute()


def find_consensus(
    thoraces: Mapping[str, ChestCT],
    grid: Grid,
    *,
    num_rounds: int,
    gates: RegisterConfig,
    remember: Remember = compute_outcome,
) -> Consensus:
    """Find the common space of some cases, centred on `grid`.

    Raises:
        EnvironmentFault: With code ``template-no-consensus`` if most cases register to none of the candidates.
    """
    working = working_grid(grid, gates.working_spacing_mm)
    refusals: dict[str, Mapping[str, str]] = {}
    for start in rank_by_lung_size(thoraces)[:MAX_STARTS]:
        consensus = _search_from(start, thoraces, working, num_rounds, gates, remember)
        if 2 * len(consensus.alignments) >= len(thoraces):
            return consensus
        refusals[start] = consensus.refused
        log.warning("template: most cases do not register to %s: %s", start, consensus.refused)
    raise EnvironmentFault(
        f"Expected at least half of {len(thoraces)} training cases to register to one of them, got these "
        f"refusals: {refusals}.",
        code="template-no-consensus",
        remedy="look at the cases and their orientation; give a template (template.path), raise "
        "template.num_cases, or widen the gates of the section register.",
    )


def rank_by_lung_size(thoraces: Mapping[str, ChestCT]) -> list[str]:
    """Sort the cases by the distance of their lungs' size (box and volume) from the median."""
    sizes = {
        case: np.log([*np.subtract(*lung_box_mm(thorax.lungs)[::-1]), np.cbrt(thorax.lung_ml)])
        for case, thorax in thoraces.items()
    }
    median = np.median(list(sizes.values()), axis=0)
    return sorted(sizes, key=lambda case: (round(float(np.linalg.norm(sizes[case] - median)), 9), case))


def mean_affine(affines: Iterable[Affine]) -> Affine:
    """Return the log-Euclidean mean of affines that are no reflections."""
    return np.real(expm(np.mean([np.real(logm(affine)) for affine in affines], axis=0)))


def average(cases: Iterable[Posed], grid: Grid) -> tuple[CTVolume, LabelMap]:
    """Average CTs and their lungs on a grid, each from its native voxels in one interpolation.

    A voxel averages the CTs that reach it, and is air where none does. It is lung where more than half of the cases
    have lung, of the side that most of them have.
    """
    total = np.zeros(grid.shape, dtype=np.float32)
    covered, left, right = (np.zeros(grid.shape, dtype=np.uint16) for _ in range(3))
    number = 0
    for volume, lungs, matrix in cases:
        hu = resample_to_grid(volume, grid, matrix, outside_hu=_NOT_COVERED).hu
        inside = hu > _NOT_COVERED
        np.add(total, hu, out=total, where=inside)
        covered += inside
        for label, count in ((1, left), (2, right)):
            count += resample_mask(LabelMap(lungs.labels == label, lungs.affine_mm), grid, matrix)
        number += 1
    np.divide(total, covered, out=total, where=covered > 0)
    total[covered == 0] = OUTSIDE_HU
    labels = np.where(left >= right, 1, 2).astype(np.uint8)
    labels[2 * (left + right) <= number] = 0
    mean = CTVolume(np.rint(total).astype(np.int16), grid.affine_mm)
    return mean, LabelMap(labels, grid.affine_mm, LUNG_NAMES)


def check_fit(lungs: LabelMap) -> None:
    """Refuse a template whose lungs do not fit into its grid with a margin of 5 mm."""
    low, high = lung_box_mm(lungs)
    lowest, highest = grid_box_mm(lungs.grid)
    room = np.minimum(low - lowest, highest - high)
    if (room < MARGIN_MM).any():
        size, field = (" x ".join(f"{value:.0f}" for value in box) for box in (high - low, highest - lowest))
        raise ConfigError(
            f"Expected {MARGIN_MM:g} mm around the template's lungs; they are {size} mm (x, y, z) and the grid is "
            f"{field} mm.",
            code="grid-too-small",
            remedy="enlarge grid.shape or grid.spacing_mm; 313.6 mm on each side suit adults.",
        )


def _search_from(
    start: str,
    thoraces: Mapping[str, ChestCT],
    working: Grid,
    num_rounds: int,
    gates: RegisterConfig,
    remember: Remember,
) -> Consensus:
    low, high = lung_box_mm(thoraces[start].lungs)
    to_native = {start: _translation((low + high) / 2)}
    alignments: dict[str, Alignment] = {}
    refused: dict[str, str] = {}
    for number in range(num_rounds):
        fixed = _average_chest(thoraces, to_native, working)
        alignments, refused = {}, {}
        for case, thorax in thoraces.items():
            outcome = remember(f"{start}/{number}/{case}", partial(_register, thorax, fixed, gates))
            if isinstance(outcome, Alignment):
                alignments[case] = outcome
            else:
                refused[case] = outcome
        if 2 * len(alignments) < len(thoraces):
            break
        to_native = _centre(_remove_bias(alignments, thoraces), thoraces, working)
        log.info("template round %d from %s: %d of %d cases", number + 1, start, len(alignments), len(thoraces))
    return Consensus(start, alignments, to_native, refused)


def _register(thorax: ChestCT, fixed: ChestCT, gates: RegisterConfig) -> Outcome:
    try:
        return register_within_gates(thorax, fixed, gates)
    except RegistrationError as refusal:
        return refusal.code


def _average_chest(thoraces: Mapping[str, ChestCT], to_native: Mapping[str, Affine], grid: Grid) -> ChestCT:
    cases = ((thoraces[case].volume, thoraces[case].lungs, matrix) for case, matrix in to_native.items())
    return ChestCT(*average(cases, grid))


def _remove_bias(alignments: Mapping[str, Alignment], thoraces: Mapping[str, ChestCT]) -> dict[str, Affine]:
    """Change the template's space so that the mean affine, from lung centre to lung centre, is the identity."""
    found = {case: alignment.template_to_native_lps_mm for case, alignment in alignments.items()}
    centred = [_translation(-thoraces[case].lung_points_mm.mean(axis=0)) @ matrix for case, matrix in found.items()]
    unbiased = np.linalg.inv(mean_affine(centred))
    return {case: matrix @ unbiased for case, matrix in found.items()}


def _centre(to_native: Mapping[str, Affine], thoraces: Mapping[str, ChestCT], working: Grid) -> dict[str, Affine]:
    """Shift the template's space so that the box of the mean lungs is in the middle of the grid."""
    low, high = lung_box_mm(_average_chest(thoraces, to_native, working).lungs)
    middle = working.affine_mm @ [*((np.array(working.shape) - 1) / 2), 1.0]
    shift = _translation((low + high) / 2 - middle[:3])
    return {case: matrix @ shift for case, matrix in to_native.items()}


def _translation(shift_mm: Float[np.ndarray, " 3"]) -> Affine:
    matrix = np.eye(4)
    matrix[:3, 3] = shift_mm
    return matrix
