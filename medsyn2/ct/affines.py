"""Affines: 4 x 4 matrices from the index of a voxel (depth, height, width, 1) to LPS millimetres (x, y, z, 1)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from medsyn2.errors import GeometryError

Affine = Float[np.ndarray, "4 4"]
Spacing = tuple[float, float, float]
Shape = tuple[int, int, int]

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From NIfTI's world to that of DICOM and ITK, and back."""

SPACING_RANGE_MM = (0.1, 10.0)
MAX_SHEAR = 1e-3
_ROUNDING = 1e-5


def check_affine(affine_mm: Affine) -> Affine:
    """Return a float64 copy of `affine_mm`, refusing one that is no affine of a volume.

    Raises:
        GeometryError: If it is not 4 x 4, not finite or singular.
    """
    affine = np.array(affine_mm, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise GeometryError(
            f"Expected a finite, invertible 4 x 4 affine, got {affine.tolist()}.",
            code="affine-degenerate",
            remedy="repair the header of the file, or give its spacing in a metadata table.",
        )
    return affine


def spacing_of(affine_mm: Affine) -> Spacing:
    """Return the voxel spacing (depth, height, width) in mm: the norms of the affine's columns."""
    depth, height, width = np.linalg.norm(affine_mm[:3, :3], axis=0)
    return float(depth), float(height), float(width)


def axis_aligned_affine(spacing_mm: Spacing, first_voxel_mm: tuple[float, float, float]) -> Affine:
    """Return the affine of a grid along the world's axes.

    Args:
        first_voxel_mm: World position (x, y, z) of the centre of voxel (0, 0, 0).
    """
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
    affine[:3, 3] = first_voxel_mm
    affine[3, 3] = 1.0
    return affine


def shear_of(affine_mm: Affine) -> float:
    """Return the largest cosine between two axes; 0 if they are perpendicular."""
    directions = affine_mm[:3, :3] / np.linalg.norm(affine_mm[:3, :3], axis=0)
    return float(np.abs(directions.T @ directions - np.eye(3)).max())


def orthonormalize(affine_mm: Affine, name: str) -> tuple[Affine, float]:
    """Replace slightly skewed axes by the nearest perpendicular ones, keeping origin and spacing.

    Returns:
        The affine and its shear, 0 up to 1e-5: such a shear comes from rounding to a file's 32-bit numbers.

    Raises:
        GeometryError: If the axes are skewed by more than 1e-3.

    Source: Nearest orthogonal matrix by SVD: Higham, "Computing the polar decomposition", 1986.
    """
    shear = shear_of(affine_mm)
    if shear > MAX_SHEAR:
        raise GeometryError(
            f"{name}: expected perpendicular axes, got a shear of {shear:.4f} (allowed: {MAX_SHEAR}).",
            code="affine-sheared",
            remedy="a tilted gantry or a wrong header; convert the series anew, for example with dcm2niix, which "
            "corrects the tilt.",
        )
    if shear < 1e-12:
        return affine_mm, shear
    spacing = np.linalg.norm(affine_mm[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine_mm[:3, :3] / spacing)
    repaired = affine_mm.copy()
    repaired[:3, :3] = (left @ right) * spacing
    return repaired, shear if shear > _ROUNDING else 0.0


def accept_affine(affine_mm: Affine, name: str) -> tuple[Affine, tuple[str, ...]]:
    """Return the affine that a file claims, its axes made perpendicular, and a note if they were not.

    Raises:
        GeometryError: If it cannot be that of a CT.
    """
    if not np.isfinite(affine_mm).all():
        raise GeometryError(
            f"{name}: expected finite numbers, got {affine_mm.tolist()}.",
            code="affine-not-finite",
            remedy="the header is damaged; write the affine anew, or give cohort.metadata_csv for this file.",
        )
    spacing = np.linalg.norm(affine_mm[:3, :3], axis=0)
    low, high = SPACING_RANGE_MM
    if spacing.min() < low or spacing.max() > high:
        raise GeometryError(
            f"{name}: expected a voxel spacing between {low:g} and {high:g} mm, got {format_mm(spacing)}.",
            code="spacing-impossible",
            remedy="the header is damaged or in other units; write it anew from the original series.",
        )
    if abs(np.linalg.det(affine_mm[:3, :3] / spacing)) < 1e-6:
        raise GeometryError(
            f"{name}: expected three different axes, got {affine_mm[:3, :3].tolist()}.",
            code="affine-degenerate",
            remedy="the header is damaged; write the affine anew, or give cohort.metadata_csv for this file.",
        )
    affine, shear = orthonormalize(check_affine(affine_mm), name)
    return affine, (f"axes were skewed by {shear:.1e} and made perpendicular",) if shear else ()


def format_mm(sizes_mm: Sequence[float] | Float[np.ndarray, " n"]) -> str:
    """Return lengths as text for a message."""
    return " x ".join(f"{float(value):.4g}" for value in sizes_mm) + " mm"
