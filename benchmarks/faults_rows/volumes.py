"""CTs as converters, resamplers and scanners leave them: turned over, padded, and cut by small fields of view.

What the header says wrongly must be refused, for a single CT where that is certain and for a cohort of six always.
What is sound must be accepted, with the HU and the lungs that it has without the change.
"""

import random
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from itertools import combinations

import numpy as np
from scipy import ndimage

from medsyn2.cohort.file_state import content_of
from medsyn2.cohort.volumes import inspect_case, read_case
from medsyn2.ct.anatomy.view import coarsen, view_chest
from medsyn2.ct.lungs import segment_lungs
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import CaseError, MedSyn2Error, SystematicError
from medsyn2.facts import InventoryFacts
from medsyn2.stages.anatomy import stop_if_disordered
from medsyn2.store.artefacts import Manifest, Problem, Record, Refusal

from .row import Bench, Trial, Tried

AS_GIVEN = (0, 1, 2)
ORIENTATIONS = {
    "as it lies": (AS_GIVEN, ()),
    "upside down": (AS_GIVEN, (0,)),
    "back to front": (AS_GIVEN, (1,)),
    "mirrored": (AS_GIVEN, (2,)),
    "upside down and back to front": (AS_GIVEN, (0, 1)),
    "upside down and mirrored": (AS_GIVEN, (0, 2)),
    "turned by 180 degrees in the plane": (AS_GIVEN, (1, 2)),
    "through the centre": (AS_GIVEN, (0, 1, 2)),
    "rows and columns exchanged": ((0, 2, 1), ()),
    "slices and columns exchanged": ((2, 1, 0), ()),
}
"""Order of the axes and the axes that are flipped, under an unchanged header."""
COHORT, COHORTS = 6, 30
"""CTs of a cohort, and cohorts in each orientation at most."""

FIELDS_MM = (320.0, 300.0, 280.0, 260.0)
"""CT-RATE's table has a field of view of at most 320 mm for 8 % of the validation scans."""

OTHER_HU, OTHER_SHARE = 60.0, 0.01
"""A voxel differs by more than noise, and so few do at the border of what was padded."""
OTHER_LUNGS = 0.05
LUNGS_DICE = 0.95
LUNGS_MM = 3.0
"""Spacing at which lungs are compared."""


# ---- orientation


def turn_cohorts(bench: Bench) -> list[Trial]:
    """Turn the CTs of whole cohorts in one way, and ask for the verdict over each."""
    cohorts = list(combinations(bench.patients, min(COHORT, len(bench.patients))))
    chosen = random.Random(0).sample(cohorts, min(COHORTS, len(cohorts)))
    return [
        Trial(name, ", ".join(cohort), partial(_judge_cohort, bench, name, cohort))
        for name in ORIENTATIONS
        for cohort in chosen
    ]


def _judge_cohort(bench: Bench, orientation: str, cohort: tuple[str, ...], draw: random.Random) -> Tried:
    found = {name: _take_inventory(bench, orientation, name) for name in cohort}
    refused = Counter(one.problem.code for one in found.values() if isinstance(one, Refusal))
    try:
        stop_if_disordered([Manifest("inventory", bench.work, found)])
    except SystematicError as error:
        return Tried("stopped", orientation != "as it lies", f"{error.message} {dict(refused)}")
    return Tried("accepted", orientation == "as it lies" and not refused, str(dict(refused)))


@cache
def _take_inventory(bench: Bench, orientation: str, name: str) -> Record[InventoryFacts] | Refusal:
    """Return what the inventory records of a CT in an orientation."""
    order, flips = ORIENTATIONS[orientation]
    volume = bench.ct(name)
    turned = np.ascontiguousarray(np.flip(volume.hu.transpose(order), flips))
    try:
        scan = inspect_volume(bench, CTVolume(turned, volume.affine_mm))[0]
    except CaseError as error:
        return Refusal(name, "", Problem(error.code, error.message, error.remedy))
    return Record(name, "", {}, scan)


# ---- padding


def pad_cts(bench: Bench) -> list[Trial]:
    """Pad and resample CTs as scanners and programs do."""
    return [Trial(way, name, partial(_pad, bench, way, name)) for way in PADDINGS for name in bench.names]


def _pad(bench: Bench, way: str, name: str, draw: random.Random) -> Tried:
    volume = bench.ct(name)
    padded, expected = PADDINGS[way](volume)
    try:
        facts, read = inspect_volume(bench, padded)
    except MedSyn2Error as error:
        return Tried("REFUSED", kept=False, note=f"{error.code}: {error.message}")
    wanted = expected.hu if facts.slices is None else expected.hu[slice(*facts.slices)]
    other = float((np.abs(read.hu.astype(np.float32) - wanted) > OTHER_HU).mean())
    view = view_chest(*coarsen(expected.hu, expected.spacing_mm))
    lungs = abs(facts.anatomy.lung_ml / view.lung_ml - 1) if view else 1.0
    note = f"{other:.2%} of the voxels are other, {lungs:.1%} of the lungs' volume"
    if other > OTHER_SHARE or lungs > OTHER_LUNGS:
        return Tried("OTHER HU OR LUNGS", kept=False, note=note)
    return Tried("accepted, with the HU and lungs of the CT", kept=True, note=note)


Padded = tuple[CTVolume, CTVolume]
"""A padded CT, and the same with air in the place of the padding."""


def _outside(volume: CTVolume) -> np.ndarray:
    """Return what lies outside the circle around the middle that touches the farther sides."""
    _, height, width = volume.shape
    rows, columns = np.ogrid[:height, :width]
    away = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    return np.broadcast_to(away > max(height, width) / 2, volume.shape)


def _circle(value: int, volume: CTVolume) -> Padded:
    outside = _outside(volume)
    return tuple(_with(volume, np.where(outside, np.int16(fill), volume.hu)) for fill in (value, -1024))  # type: ignore[return-value]


def _frames(volume: CTVolume) -> Padded:
    """Put a frame of another value around a circle."""
    return tuple(
        _with(one, np.pad(one.hu, ((0, 0), (12, 12), (12, 12)), constant_values=fill), (0, -12, -12))
        for one, fill in zip(_circle(-2000, volume), (-3024, -1024), strict=True)
    )  # type: ignore[return-value]


def _resample(value: int, order: int, volume: CTVolume) -> Padded:
    """Resample a padded circle, which leaves a ramp around it, and waves with a cubic spline."""
    return tuple(_zoom(one, 0.8, order) for one in _circle(value, volume))  # type: ignore[return-value]


def _turn(fill: int, order: int, axes: tuple[int, int], degrees: float, volume: CTVolume) -> Padded:
    """Turn a CT, which leaves corners to fill."""
    hu = volume.hu.astype(np.float32)
    return tuple(
        _with(volume, ndimage.rotate(hu, degrees, axes, reshape=False, order=order, cval=value))
        for value in (fill, -1024)
    )  # type: ignore[return-value]


def _blank_ends(volume: CTVolume) -> Padded:
    """Put blank slices before and behind the chest."""
    slices = round(20 / volume.spacing_mm[0])
    ends = ((slices, slices), (0, 0), (0, 0))
    return tuple(_with(volume, np.pad(volume.hu, ends, constant_values=fill), (-slices, 0, 0)) for fill in (0, -1024))  # type: ignore[return-value]


def _noise_below(volume: CTVolume) -> Padded:
    """Let the noise of air go below -1024, as a file of 16 bits with a sign can hold it."""
    noise = np.random.default_rng(0).normal(0, 40, volume.shape)
    noisy = np.where(volume.hu < -950, volume.hu + noise, volume.hu)
    return _with(volume, noisy), _with(volume, noisy.clip(-1024))


def _mask_body(volume: CTVolume) -> Padded:
    """Set what is not the body to zero, as masks of the body do."""
    body = ndimage.binary_opening(volume.hu > -500, iterations=2)
    body = np.stack([ndimage.binary_fill_holes(plane) for plane in body])
    return tuple(_with(volume, np.where(body, volume.hu, np.int16(fill))) for fill in (0, -1024))  # type: ignore[return-value]


PADDINGS: dict[str, Callable[[CTVolume], Padded]] = {
    "a circle of -2000": partial(_circle, -2000),
    "a circle of 0": partial(_circle, 0),
    "a circle of 3071": partial(_circle, 3071),
    "a circle of -2000 in a frame of -3024": _frames,
    "a circle of -2000, resampled linearly": partial(_resample, -2000, 1),
    "a circle of -3024, resampled by a cubic spline": partial(_resample, -3024, 3),
    "turned by 7 degrees into 0": partial(_turn, 0, 1, (1, 2), 7.0),
    "turned by 7 degrees into 0 by a cubic spline": partial(_turn, 0, 3, (1, 2), 7.0),
    "tilted by 5 degrees into -1000": partial(_turn, -1000, 1, (0, 1), 5.0),
    "blank slices at the ends": _blank_ends,
    "noise below -1024": _noise_below,
    "the body alone, in 0": _mask_body,
}


# ---- fields of view


def cut_fields(bench: Bench) -> list[Trial]:
    """Cut CTs to the squares and circles that scanners reconstruct."""
    return [
        Trial(f"{field_mm:g} mm", f"{name}, {shape}", partial(_cut, bench, name, field_mm, shape))
        for field_mm in FIELDS_MM
        for name in bench.patients
        for shape in ("square", "circle")
    ]


def _cut(bench: Bench, name: str, field_mm: float, shape: str, draw: random.Random) -> Tried:
    whole = bench.ct(name)
    box = tuple(
        slice(max(round((size - field_mm / own_mm) / 2), 0), min(round((size + field_mm / own_mm) / 2), size))
        for size, own_mm in zip(whole.shape[1:], whole.spacing_mm[1:], strict=True)
    )
    inside = _with(whole, whole.hu[:, *box], (0, box[0].start, box[1].start))
    cut = _circle(-2000, inside)[0] if shape == "circle" else inside
    try:
        _, read = inspect_volume(bench, cut)
    except MedSyn2Error as error:
        return Tried("REFUSED", kept=False, note=f"{error.code}: {error.message}")
    seen = ~_outside(inside) if shape == "circle" else np.ones(inside.shape, bool)
    same = np.array_equal(read.hu[seen], inside.hu.clip(-1024, 3071)[seen])
    lungs = segment_lungs(read, LUNGS_MM)
    seen = _sample(LabelMap(seen, inside.affine_mm), lungs)
    there, wanted = (lungs.labels > 0) & seen, _sample(_lungs_of(bench, name), lungs) & seen
    dice = 2 * np.count_nonzero(there & wanted) / max(np.count_nonzero(there) + np.count_nonzero(wanted), 1)
    note = f"Dice of the lungs {dice:.3f}"
    if not same or dice < LUNGS_DICE:
        return Tried("OTHER HU OR LUNGS", kept=False, note=note)
    return Tried("accepted, with the HU and lungs of the whole CT", kept=True, note=note)


@cache
def _lungs_of(bench: Bench, name: str) -> LabelMap:
    return segment_lungs(bench.ct(name), LUNGS_MM)


def _sample(labels: LabelMap, grid: LabelMap) -> np.ndarray:
    """Return where labels are, on the grid of others."""
    to_own = np.linalg.inv(labels.affine_mm) @ grid.affine_mm
    inside = (labels.labels > 0).astype(np.uint8)
    return ndimage.affine_transform(inside, to_own, output_shape=grid.labels.shape, order=0) > 0


# ---- all


def inspect_volume(bench: Bench, volume: CTVolume) -> tuple[InventoryFacts, CTVolume]:
    """Return what the inventory records of a CT in a file, and how later stages read it."""
    path = bench.folder("volumes") / "ct.nii"
    write_ct(path, volume)
    scan = inspect_case(path, None, "detect")
    facts = InventoryFacts(
        **vars(scan), subject="", split="train", position=0, report=None, labels=None, content=content_of(path)
    )
    return facts, read_case(facts)


def _with(volume: CTVolume, hu: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> CTVolume:
    """Return whole HU on the grid of a volume, moved to begin at the voxel `start`."""
    affine_mm = volume.affine_mm.copy()
    affine_mm[:, 3] = affine_mm @ (*start, 1)
    return CTVolume(np.ascontiguousarray(np.rint(hu).astype(np.int16)), affine_mm)


def _zoom(volume: CTVolume, factor: float, order: int) -> CTVolume:
    hu = ndimage.zoom(volume.hu.astype(np.float32), factor, order=order, mode="nearest")
    affine_mm = volume.affine_mm.copy()
    affine_mm[:3, :3] = affine_mm[:3, :3] * (np.array(volume.shape) / hu.shape)
    return CTVolume(np.rint(hu).astype(np.int16), affine_mm)
