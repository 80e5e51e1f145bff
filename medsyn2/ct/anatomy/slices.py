"""The order of a CT's slices.

Neighbouring slices are alike: on nine public CTs they differ by a tenth of the difference between distant ones (by a
quarter at 8 mm), and nowhere by more than 1.8 times as much as around. Files sorted by name as text (1, 10, 11, 2, ...)
leave a jump of 10 times and more at every tenth slice; 20 mm of lost slices leave one of 4 times.

Slices two apart differ more than neighbours do, everywhere in these CTs; nowhere so where two series alternate in one
file, or neighbours have changed places. And neighbours differ alike from pair to pair, by 3 % in them, unless slices
are there twice. Interpolation between noisy slices can halve every second difference, not more.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.anatomy.view import Planes
from medsyn2.errors import InvalidVolumeError
from medsyn2.types import Float

BODY_HU = (-1000.0, 400.0)
"""Beyond lies metal, and padding."""
FAR_MM = 80.0
AROUND_MM = 20.0
JUMP = 2.5
JUMP_OF_FAR = 0.2
MIN_FAR_HU = 100.0
"""Of chests it is 170 and more; less is no anatomy."""
UNRELATED = 0.6
MAX_STRANGERS = 4
OF_TWO_APART = 1.2
ALTERNATING_SHARE = 0.5
MAX_UNEVEN = 0.4
MIN_COMPARED = 20
LUNG_HU = (-950.0, -600.0)
LUNG_SHARE = 0.05
_TWICE = (
    "every second slice is nearly a copy of the one beside it: unless they were made by repeating slices, the chest is "
    "half as long as the header says"
)


def check_order(planes: Planes, spacing_mm: float, name: str) -> list[str]:
    """Return warnings of slices that seem to be missing, or to be there twice.

    Args:
        planes: The `thumbnails` of the slices.
        spacing_mm: Distance of the slices.

    Raises:
        InvalidVolumeError: If the slices are not in the order of the body, or two series alternate.
    """
    jumps, strangers = find_jumps(planes, spacing_mm)
    evenness, alternating = compare_neighbours(planes)
    if len(strangers) > MAX_STRANGERS or alternating >= ALTERNATING_SHARE:
        found = (
            f"{len(strangers)} places where neighbours differ as distant slices do"
            if len(strangers) > MAX_STRANGERS
            else f"neighbours that differ more than slices two apart, in {alternating:.0%} of the lungs"
        )
        raise InvalidVolumeError(
            f"{name}: expected slices in the order of the body, got {found}.",
            code="slices-disordered",
            remedy="the slices were sorted by file name or time, not by position, or two series were put into one "
            "file; convert each series anew.",
        )
    if evenness < MAX_UNEVEN:  # Beside a copy, every next slice is a jump.
        return [_TWICE]
    places = ", ".join(f"{at + 1} and {at + 2}" for at in jumps)
    return [f"slices may be missing: a jump between the slices {places} from the feet"] if jumps else []


def find_jumps(planes: Planes, spacing_mm: float) -> tuple[list[int], list[int]]:
    """Return the slices of the lungs whose next one differs more than neighbours around, and as distant slices do."""
    body, start = lungs_of(planes)
    reach = round(FAR_MM / spacing_mm)
    if not 0 < reach < len(body):
        return [], []
    far_hu = float(np.median(_steps_hu(body, reach)))
    steps_hu = _steps_hu(body, 1)
    around_hu = ndimage.median_filter(steps_hu, max(5, 2 * round(AROUND_MM / spacing_mm / 2) + 1), mode="nearest")
    is_jump = (steps_hu >= JUMP * around_hu) & (steps_hu >= JUMP_OF_FAR * far_hu)
    if far_hu < MIN_FAR_HU:
        return [], []
    jumps, strangers = (start + np.flatnonzero(found) for found in (is_jump, steps_hu >= UNRELATED * far_hu))
    return jumps.tolist(), strangers.tolist()


def compare_neighbours(planes: Planes) -> tuple[float, float]:
    """Compare the neighbours of the lungs' slices.

    Returns:
        By which factor every second pair differs less than the others, and the share of the slices that differ more
        from a neighbour than their neighbours do from each other; 1 and 0 where there are too few slices.
    """
    body, _ = lungs_of(planes)
    if len(body) < MIN_COMPARED:
        return 1.0, 0.0
    steps_hu, two_apart_hu = _steps_hu(body, 1), _steps_hu(body, 2)
    less, more = sorted((float(np.median(steps_hu[::2])), float(np.median(steps_hu[1::2]))))
    larger_hu = np.maximum(steps_hu[:-1], steps_hu[1:])
    return less / max(more, 1e-6), float((larger_hu > OF_TWO_APART * two_apart_hu).mean())


def lungs_of(planes: Planes) -> tuple[Float[np.ndarray, "n rows columns"], int]:
    """Return the slices of the lungs without what no tissue has, and the place of the first.

    Below the lungs, a body may be as uniform as a phantom, and one bubble of gas is a jump.
    """
    with_lung = np.flatnonzero(((planes > LUNG_HU[0]) & (planes < LUNG_HU[1])).mean(axis=(1, 2)) >= LUNG_SHARE)
    start, stop = (int(with_lung[0]), int(with_lung[-1]) + 1) if with_lung.size else (0, 0)
    return planes[start:stop].clip(*BODY_HU), start


def _steps_hu(planes: Planes, apart: int) -> Float[np.ndarray, " steps"]:
    """Return the mean difference of slices so many places apart."""
    steps_hu: np.ndarray = np.abs(planes[apart:] - planes[:-apart]).mean(axis=(1, 2))
    return steps_hu
