"""The cohort's volumes: inspected once, read by every stage that needs them.

`inspect_case` interprets a file (position of its voxels, unit of its values) and records the decision as facts;
`read_case` only applies them. So every stage sees the same volume, and the decision is on record in the inventory.

CT-RATE's first version has no geometry in its headers and stored values in its voxels; the metadata table supplies
geometry and rescaling. Its second version is repaired and comes with the same table, which must change nothing. The
values decide which one it is (`ct.hounsfield`), and a header with a geometry of its own must agree with the table.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int, Num

from medsyn2.cohort.file_state import content_of
from medsyn2.ct.affines import format_mm
from medsyn2.ct.anatomy.completeness import has_sides, warn_of_length
from medsyn2.ct.anatomy.drift import warn_of_drift
from medsyn2.ct.anatomy.judgement import judge_anatomy
from medsyn2.ct.anatomy.refusal import refuse_disorder, warn
from medsyn2.ct.anatomy.sharpness import warn_of_blur
from medsyn2.ct.anatomy.slices import check_order
from medsyn2.ct.anatomy.view import coarsen, thumbnail_spacing_mm, thumbnails, view_chest
from medsyn2.ct.geometry import canonical_axes, orthonormalize
from medsyn2.ct.hounsfield.detection import Convention, detect_hu
from medsyn2.ct.hounsfield.padding import blank_slices, clear_padding
from medsyn2.ct.intensity import to_hu
from medsyn2.ct.label_map import refuse_label_map
from medsyn2.ct.volume import Affine, CTVolume, spacing_of
from medsyn2.ct.voxel_file import VoxelFile, orientation_of
from medsyn2.errors import GeometryError, InvalidVolumeError, UnreachableVolumeError
from medsyn2.facts import AffineRepair, AnatomyFacts, HuScale, InventoryFacts, Padding, ScanFacts
from medsyn2.formats import open_volume
from medsyn2.reports.table import Acquisition

MIN_DEPTH_MM = 100.0
MIN_SLICES = 20
MAX_GAP_MM = 10.0
"""A gap that a reader of thick slices would not miss; more of a chest is lost for good."""
_SPACING_TOLERANCE = 0.01
_REPAIRABLE = frozenset({"affine-missing", "affine-not-finite", "affine-degenerate", "affine-identity"})


def inspect_case(
    path: Path | str,
    acquisition: Acquisition | None,
    convention: Convention,
    orientation: Literal["check", "trust"] = "check",
    series: str | None = None,
    *,
    accept_synthetic: bool = False,
) -> ScanFacts:
    """Determine the geometry and the unit of a CT file, and look at its anatomy.

    Args:
        path: A file, or a folder of DICOM slices.
        series: Which series of that folder; None for any other file.
        accept_synthetic: Whether the file may be a volume that says of itself that a model made it.

    Returns:
        The facts that `read_case` needs, and those that the inventory records beside them.

    Raises:
        InvalidVolumeError: If the file is damaged, too short for a chest, or holds it twice.
        GeometryError: If its position in space is missing, impossible, ambiguous or contradicts the table, or if the
            chest lies otherwise and `orientation` is not trusted.
        IntensityError: If its values are not HU and cannot safely be brought to them.
    """
    file = open_volume(path, series=series)
    affine, repair, notes = _find_affine(file, acquisition)
    volume = file.ct(affine)
    if not accept_synthetic:
        _refuse_synthetic(file)
    refuse_label_map(volume.hu, file.name)
    image, slices = _find_slices(volume, file.name)
    judgement = detect_hu(
        volume.hu,
        name=file.name,
        convention=convention,
        slope=acquisition.slope if acquisition else None,
        intercept=acquisition.intercept if acquisition else None,
    )
    if slices is not None:
        blank = len(volume.hu) - (slices[1] - slices[0])
        notes.append(f"{blank} slices at the ends hold no image and were left out")
    hu = _image_hu(volume.hu, judgement.scale, judgement.padding)
    anatomy, seen = _look_at(CTVolume(hu[image], volume.affine_mm), file.name)
    notes += seen
    if orientation == "check":
        refuse_disorder(anatomy, file.name)
    depth_mm, height_mm, width_mm = (round(value, 6) for value in volume.spacing_mm)
    return ScanFacts(
        path=str(path),
        shape=volume.shape,
        spacing_mm=(depth_mm, height_mm, width_mm),
        orientation=orientation_of(affine),
        hu=judgement.scale,
        image=image_hash(hu if slices is None else hu[slice(*slices)]),
        affine_repair=repair,
        warnings=(*file.notes, *notes, *judgement.notes),
        anatomy=anatomy if orientation == "check" else replace(anatomy, findings=None),
        slices=slices,
        padding=judgement.padding,
        series=series,
    )


def _look_at(image: CTVolume, name: str) -> tuple[AnatomyFacts, list[str]]:
    """Judge the anatomy of slices that hold an image, and return it with warnings.

    Raises:
        InvalidVolumeError: If the slices are not in the order of the body.
    """
    planes = thumbnails(image.hu, image.spacing_mm)
    notes = check_order(planes, image.spacing_mm[0], name)
    view = view_chest(*coarsen(image.hu, image.spacing_mm, planes))
    anatomy = judge_anatomy(view)
    notes += warn(anatomy)
    is_whole = view is not None and not anatomy.findings and has_sides(view)
    if view is not None and is_whole:
        notes += warn_of_length(view)
    notes += warn_of_drift(planes, thumbnail_spacing_mm(image.shape, image.spacing_mm), is_whole=is_whole)
    return anatomy, notes + warn_of_blur(image.hu, image.spacing_mm)


def read_case(facts: ScanFacts) -> CTVolume:
    """Read a case's CT by the facts of `inspect_case`.

    Returns:
        The canonical volume in HU, int16, clipped to -1024 .. 3071, with air in the place of padding.

    Raises:
        InvalidVolumeError: If the file is damaged or is not the one that was inspected.
        GeometryError: If its position in space is no longer usable.
    """
    file = open_volume(facts.path, series=facts.series)
    repair = facts.affine_repair
    affine = np.array(repair.affine_mm) if repair else file.affine()[0]
    volume = file.ct(affine)
    known = facts.content if isinstance(facts, InventoryFacts) else None
    if volume.shape != facts.shape or known not in (None, content_of(Path(facts.path))):
        raise UnreachableVolumeError(
            f"{file.name}: expected the file of the inventory, {facts.shape} voxels with the hash {known}, got another "
            f"of {volume.shape}.",
            code="file-changed",
            remedy="the file was damaged or replaced since the inventory; put it back, or run the workflow again.",
        )
    hu, affine = _image_hu(volume.hu, facts.hu, facts.padding), volume.affine_mm.copy()
    if facts.slices is not None:
        affine[:, 3] = affine @ (facts.slices[0], 0.0, 0.0, 1.0)
        hu = hu[slice(*facts.slices)]
    return CTVolume(hu, affine)


def _image_hu(
    values: Num[np.ndarray, "d h w"], scale: HuScale, padding: tuple[Padding, ...] | None
) -> Int[np.ndarray, "d h w"]:
    """Return the HU of a file's values, with air in the place of padding."""
    hu = to_hu(values, scale)
    if padding is not None:
        clear_padding(hu, values, padding, scale)
    return hu


def image_hash(hu: Num[np.ndarray, "d h w"]) -> str:
    """Return a hash of a canonical volume's shape and HU, the same for each way in which a file may hold them."""
    small = hu if hu.dtype == np.int16 else np.rint(hu.clip(-32768, 32767)).astype(np.int16)
    found = hashlib.sha256(repr(hu.shape).encode())
    found.update(np.ascontiguousarray(small).data)
    return found.hexdigest()


def _refuse_synthetic(file: VoxelFile) -> None:
    """Refuse a volume whose header says that it was generated: its JSON may have been left behind."""
    if file.is_synthetic:
        raise InvalidVolumeError(
            f"{file.name}: expected a CT, got a synthetic volume: {file.description!r}.",
            code="volume-synthetic",
            remedy="leave its folder out (cohort.exclude_dirs): a model is not trained on volumes that one made.",
        )


def _find_slices(volume: CTVolume, name: str) -> tuple[slice, tuple[int, int] | None]:
    """Return the slices that hold an image, and those that are the field of view, None for all.

    Blank slices are lost ones: at an end they are no field of view, and in the middle the chest has a gap. One that a
    resampling has left at an end does no harm and stays.
    """
    at = np.flatnonzero(~blank_slices(volume.hu))
    first, last = (int(at[0]), int(at[-1]) + 1) if at.size else (0, len(volume.hu))
    _check_extent(last - first, volume.spacing_mm[0], name)
    gap_mm = (float(np.diff(at).max(initial=1)) - 1) * volume.spacing_mm[0]
    if gap_mm > MAX_GAP_MM:
        raise InvalidVolumeError(
            f"{name}: expected an image in every slice, got {gap_mm:.0f} mm of blank slices inside the chest.",
            code="slices-blank",
            remedy="slices were lost; convert the series anew.",
        )
    spacing_mm, count = volume.spacing_mm[0], len(volume.hu)
    start = first if first * spacing_mm > MAX_GAP_MM else 0
    stop = last if (count - last) * spacing_mm > MAX_GAP_MM else count
    return slice(first, last), None if (start, stop) == (0, count) else (start, stop)


def _check_extent(slices: int, spacing_mm: float, name: str) -> None:
    depth_mm = slices * spacing_mm
    if slices < MIN_SLICES or depth_mm < MIN_DEPTH_MM:
        raise InvalidVolumeError(
            f"{name}: expected at least {MIN_SLICES} slices and {MIN_DEPTH_MM:g} mm from top to bottom, got "
            f"{slices} slices and {depth_mm:.0f} mm.",
            code="volume-too-short",
            remedy="a part of a chest cannot be registered; give the whole series.",
        )


def _find_affine(file: VoxelFile, acquisition: Acquisition | None) -> tuple[Affine, AffineRepair | None, list[str]]:
    """Return the affine from the file's axes to LPS, its repair from the table if any, and notes."""
    try:
        affine, repairs = file.affine()
        notes = list(repairs)
        _refuse_no_geometry(affine, acquisition, file.name)
        if acquisition is not None and acquisition.spacing_mm is not None:
            _compare_spacing(affine, acquisition.spacing_mm, file.name)
        return affine, None, notes
    except GeometryError as error:
        if error.code not in _REPAIRABLE or acquisition is None or acquisition.spacing_mm is None:
            raise
        affine = _affine_from_metadata(acquisition, file)
        repair = AffineRepair(error.code, tuple(map(tuple, affine.tolist())))
        return affine, repair, [f"the position in space comes from the metadata table ({error.code})"]


def _refuse_no_geometry(affine: Affine, acquisition: Acquisition | None, name: str) -> None:
    """Refuse the placeholder that programs write when they know no affine: spacing 1 mm, origin 0, no rotation."""
    spacing = np.array(spacing_of(affine))
    if np.abs(spacing - 1).max() > 1e-6:
        return
    # If the table has another spacing, 1 mm is a placeholder whatever the origin.
    other = acquisition is not None and not np.allclose(acquisition.spacing_mm or spacing, 1, rtol=1e-2)
    if other or (np.abs(affine[:3, 3]).max() < 1e-6 and np.allclose(np.abs(affine[:3, :3]), np.eye(3))):
        raise GeometryError(
            f"{name}: expected a spacing, got the identity, which programs write when they know none.",
            code="affine-identity",
            remedy="give cohort.metadata_csv with XYSpacing, ZSpacing and ImageOrientationPatient; if the "
            "voxels truly are 1 mm apart, write the scan's origin into the file.",
        )


def _compare_spacing(affine: Affine, acquired_mm: tuple[float, float, float], name: str) -> None:
    order, _ = canonical_axes(affine)
    found = np.array(spacing_of(affine))[list(order)]
    expected = np.array(acquired_mm[::-1])
    if np.abs(found / expected - 1).max() > _SPACING_TOLERANCE:
        raise GeometryError(
            f"{name}: expected the table's spacing {format_mm(expected)} (depth, height, width), got "
            f"{format_mm(found)}.",
            code="spacing-contradicts-metadata",
            remedy="find out which is right; correct the row, or leave the volume out (cohort.exclude_txt).",
        )


def _affine_from_metadata(acquisition: Acquisition, file: VoxelFile) -> Affine:
    """Compute the affine of a DICOM series whose columns, rows and slices are the file's axes.

    Source: DICOM PS3.3 C.7.6.2.1.1, equation for pixel positions; CT-RATE's ``fix_metadata.py`` for the axes.
    """
    if acquisition.size is not None and acquisition.size != file.values.shape:
        raise GeometryError(
            f"{file.name}: expected the table's {acquisition.size} columns, rows and slices, got {file.values.shape}.",
            code="shape-contradicts-metadata",
            remedy="the row belongs to another volume, or the file was cropped; its geometry cannot be restored.",
        )
    if acquisition.orientation is None or acquisition.spacing_mm is None:
        raise GeometryError(
            f"{file.name}: expected ImageOrientationPatient to place a volume whose header has no geometry, "
            "got an empty cell.",
            code="affine-missing",
            remedy="complete the row of the metadata table.",
        )
    along_row, along_column = np.array(acquisition.orientation).reshape(2, 3)
    directions = np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)
    affine = np.eye(4)
    affine[:3, :3] = directions * acquisition.spacing_mm
    affine[:3, 3] = acquisition.position_lps_mm or (0.0, 0.0, 0.0)
    spacing = spacing_of(affine)
    if not np.allclose(spacing, acquisition.spacing_mm, rtol=1e-3) or not 0.1 <= min(spacing) <= 10:
        raise GeometryError(
            f"{file.name}: expected unit directions and a spacing in mm, got "
            f"{acquisition.orientation} and {acquisition.spacing_mm}.",
            code="metadata-geometry",
            remedy="correct the row of the metadata table.",
        )
    return orthonormalize(affine, file.name)[0]
