"""The cohort's volumes: inspected once, read by every stage that needs them.

`inspect_case` interprets a file (position of its voxels, unit of its values) and records the decision as facts;
`read_case` only applies them. So every stage sees the same volume, and the decision is on record in the inventory.

CT-RATE's first version has no geometry in its headers and stored values in its voxels; the metadata table supplies
geometry and rescaling. Its second version is repaired and comes with the same table, which must change nothing. The
values decide which one it is (`ct.hounsfield`), and a header with a geometry of its own must agree with the table.
"""

from pathlib import Path

import numpy as np

from medsyn2.ct.geometry import canonical_axes, orthonormalize
from medsyn2.ct.hounsfield.detection import Convention, detect_hu
from medsyn2.ct.hounsfield.padding import clear_padding
from medsyn2.ct.intensity import to_hu
from medsyn2.ct.nifti.files import NiftiFile, open_nifti, orientation_of
from medsyn2.ct.volume import Affine, CTVolume, spacing_of
from medsyn2.errors import GeometryError, InvalidVolumeError
from medsyn2.facts import AffineRepair, ScanFacts
from medsyn2.reports.table import Acquisition

MIN_DEPTH_MM = 100.0
MIN_SLICES = 20
_SPACING_TOLERANCE = 0.01
_REPAIRABLE = frozenset({"affine-missing", "affine-not-finite", "affine-degenerate", "affine-identity"})


def inspect_case(path: Path | str, acquisition: Acquisition | None, convention: Convention) -> ScanFacts:
    """Determine the geometry and the unit of a CT file.

    Returns:
        The facts that `read_case` needs, and those that the inventory records beside them.

    Raises:
        InvalidVolumeError: If the file is damaged, or too short for a chest.
        GeometryError: If its position in space is missing, impossible, ambiguous or contradicts the table.
        IntensityError: If its values are not HU and cannot safely be brought to them.
    """
    file = open_nifti(path)
    affine, repair, notes = _find_affine(file, acquisition)
    volume = file.ct(affine)
    _check_extent(volume, file.name)
    judgement = detect_hu(
        volume.hu,
        name=file.name,
        convention=convention,
        slope=acquisition.slope if acquisition else None,
        intercept=acquisition.intercept if acquisition else None,
    )
    depth_mm, height_mm, width_mm = (round(value, 6) for value in volume.spacing_mm)
    return ScanFacts(
        path=str(path),
        shape=volume.shape,
        spacing_mm=(depth_mm, height_mm, width_mm),
        orientation=orientation_of(affine),
        hu=judgement.scale,
        affine_repair=repair,
        warnings=(*file.notes, *notes, *judgement.notes),
        padding=judgement.padding,
    )


def read_case(facts: ScanFacts) -> CTVolume:
    """Read a case's CT by the facts of `inspect_case`.

    Returns:
        The canonical volume in HU, int16, clipped to -1024 .. 3071, with air in the place of padding.

    Raises:
        InvalidVolumeError: If the file is damaged or is not the one that was inspected.
        GeometryError: If its position in space is no longer usable.
    """
    file = open_nifti(facts.path)
    repair = facts.affine_repair
    affine = np.array(repair.affine_mm) if repair else file.affine()[0]
    volume = file.ct(affine)
    if volume.shape != facts.shape:
        raise InvalidVolumeError(
            f"{file.name}: expected the shape {facts.shape} of the inventory, got {volume.shape}.",
            code="file-changed",
            remedy="the file was replaced since the inventory; delete its record in results/inventory and run again.",
        )
    hu = to_hu(volume.hu, facts.hu)
    if facts.padding is not None:
        clear_padding(hu, volume.hu, facts.padding, facts.hu)
    return CTVolume(hu, volume.affine_mm)


def _check_extent(volume: CTVolume, name: str) -> None:
    slices, depth_mm = volume.shape[0], volume.shape[0] * volume.spacing_mm[0]
    if slices < MIN_SLICES or depth_mm < MIN_DEPTH_MM:
        raise InvalidVolumeError(
            f"{name}: expected at least {MIN_SLICES} slices and {MIN_DEPTH_MM:g} mm from top to bottom, got "
            f"{slices} slices and {depth_mm:.0f} mm.",
            code="volume-too-short",
            remedy="a part of a chest cannot be registered; give the whole series.",
        )


def _find_affine(file: NiftiFile, acquisition: Acquisition | None) -> tuple[Affine, AffineRepair | None, list[str]]:
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
            f"{name}: expected the table's spacing {_format_mm(expected)} (depth, height, width), got "
            f"{_format_mm(found)}.",
            code="spacing-contradicts-metadata",
            remedy="find out which is right; correct the row, or leave the volume out (cohort.exclude_txt).",
        )


def _affine_from_metadata(acquisition: Acquisition, file: NiftiFile) -> Affine:
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


def _format_mm(spacing: np.ndarray) -> str:
    return " x ".join(f"{float(value):.4g}" for value in spacing) + " mm"
