"""Slices as a volume: sorted by position, evenly apart and perpendicular, or refused with the reason.

The order is that of the positions along the slices' normal; numbers of instances and names of files say nothing. A
volume on a regular grid needs each position once and equal steps. A missing slice or two distances in one series cannot
be had on such a grid without inventing values, so they are refused.

A tilted gantry makes slices that are parallel and even, each a little further along its own plane than the one before.
They are moved upright within their planes, in one linear interpolation; the volume grows by as much as they lean.

Source: DICOM PS3.3, C.7.6.2.1.1, the equation for pixel positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, degrees, prod

import numpy as np
from jaxtyping import Float

from medsyn2.ct.affines import MAX_SHEAR, Affine, format_mm, spacing_of
from medsyn2.dicom.identity import pseudonym
from medsyn2.dicom.slices import Slice
from medsyn2.errors import GeometryError, InvalidVolumeError

SAME_MM = 0.01
"""Positions that are closer are one: slices are at least 0.1 mm apart."""
_UNEVEN = 0.1
"""Share of a step by which a slice may be off: positions that are rounded to 0.1 mm move slices of 0.5 mm so far."""
_GAP = 1.5
"""Steps from which a slice is missing."""
_MAX_SLANT = 0.6
"""Sine of 37 degrees: gantries tilt by up to 30, and a rounded orientation adds little."""


@dataclass(frozen=True)
class Stack:
    """The slices of a volume, in the order of their positions."""

    name: str  # For messages
    slices: tuple[Slice, ...]
    affine_mm: Affine  # Index (column, row, slice) to LPS mm
    lean: tuple[float, float] = (0.0, 0.0)  # Columns and rows that each slice lies further than the one before
    part: str = ""  # The attribute and its value that told it apart from others of its series; empty if it is alone
    notes: tuple[str, ...] = ()  # What is unusual and was accepted

    @property
    def id(self) -> str:
        """A pseudonym by which it is found again in its folder."""
        first = self.slices[0]
        return pseudonym("series", f"{first.series}\0{self.part}\0{first.shape}\0{first.orientation}".encode())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows and slices."""
        rows, columns = self.slices[0].shape
        return columns, rows, len(self.slices)

    @property
    def voxels(self) -> int:
        return prod(self.shape)

    @property
    def room(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Columns and rows to add before the first and after the last, so that no leaning slice is cut."""
        columns, rows = (_room(one * (len(self.slices) - 1)) for one in self.lean)
        return columns, rows

    @property
    def is_original(self) -> bool:
        """Whether no slice was computed from other slices."""
        return all(one.is_original for one in self.slices)

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring slices."""
        return spacing_of(self.affine_mm)[2]


def stack_slices(slices: Sequence[Slice], name: str, part: str = "") -> Stack:
    """Sort the slices of a series, all of one shape and orientation, into a volume.

    Raises:
        InvalidVolumeError: If it is a single slice.
        GeometryError: If positions are missing, repeated or uneven, or lean more than a gantry can.
    """
    first = slices[0]
    known = [one.position_mm for one in slices if one.position_mm is not None]
    if len(known) < len(slices) or first.orientation is None or first.spacing_mm is None:
        raise GeometryError(
            f"{name}: expected ImagePositionPatient, ImageOrientationPatient and PixelSpacing in every slice, got "
            f"{len(slices) - len(known)} of {len(slices)} slices without a position.",
            code="dicom-no-position",
            remedy="the slices cannot be ordered or placed without them; export the series anew from its archive.",
        )
    if len(slices) < 2:
        raise InvalidVolumeError(
            f"{name}: expected a volume with several slices, got one.",
            code="volume-flat",
            remedy="a single slice or a localiser is no CT volume; give the whole series.",
        )
    directions = np.array(first.orientation).reshape(2, 3)
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    normal = np.cross(*directions)
    positions = np.array(known)
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    slant = _check_steps(positions, normal, name)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[0] * first.spacing_mm[1], directions[1] * first.spacing_mm[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    stack = Stack(name, tuple(slices[index] for index in order), affine, part=part)
    return stack if slant <= MAX_SHEAR else _straighten(stack, normal, slant)


def _straighten(stack: Stack, normal: Float[np.ndarray, " 3"], slant: float) -> Stack:
    """Return a stack of leaning slices as one that is perpendicular, with the lean beside it."""
    affine = stack.affine_mm.copy()
    across = np.linalg.inv(np.column_stack([affine[:3, :2], normal])) @ affine[:3, 2]
    leaning = replace(stack, lean=(float(across[0]), float(across[1])))
    affine[:3, 2] = across[2] * normal
    (columns, _), (rows, _) = leaning.room
    affine[:3, 3] -= columns * affine[:3, 0] + rows * affine[:3, 1]
    note = f"the gantry was tilted by {degrees(np.arcsin(slant)):.1f} degrees; the slices were interpolated upright"
    return replace(leaning, affine_mm=affine, notes=(note,))


def _room(lean: float) -> tuple[int, int]:
    return (ceil(max(-lean, 0.0)), ceil(max(lean, 0.0)))


def _check_steps(positions: Float[np.ndarray, "n 3"], normal: Float[np.ndarray, " 3"], name: str) -> float:
    """Refuse positions, in order, that are not even steps along the normal; return the sine of their lean."""
    steps = np.diff(positions @ normal)
    repeated = int(np.count_nonzero(steps < SAME_MM))
    if repeated:
        raise GeometryError(
            f"{name}: expected one slice at each position, got {repeated} of {len(positions)} at the place of another.",
            code="dicom-slices-repeated",
            remedy="the series holds several acquisitions that no attribute tells apart, or none but orders them; "
            "export them as series of their own.",
        )
    step = float(np.median(steps))
    gaps = steps > _GAP * step
    if gaps.any():
        lost = int(np.rint(steps[gaps] / step - 1).sum())
        raise GeometryError(
            f"{name}: expected a slice each {step:.4g} mm, got {gaps.sum()} gaps of up to {steps.max():.4g} mm, where "
            f"about {lost} slices are missing.",
            code="dicom-slices-missing",
            remedy="the export or the copy broke off; get the series again from its archive.",
        )
    line = positions[:1] + np.linspace(0, 1, len(positions))[:, None] * (positions[-1:] - positions[:1])
    off_mm = float(np.linalg.norm(positions - line, axis=1).max())
    if off_mm > _UNEVEN * step:
        raise GeometryError(
            f"{name}: expected even steps, got steps from {format_mm([steps.min()])} to {format_mm([steps.max()])} and "
            f"a slice that lies {off_mm:.2g} mm off.",
            code="dicom-spacing-varies",
            remedy="a volume has one spacing; take another reconstruction of the scan.",
        )
    along = (positions[-1] - positions[0]) / np.linalg.norm(positions[-1] - positions[0])
    slant = float(np.linalg.norm(along - (along @ normal) * normal))
    if slant > _MAX_SLANT:
        raise GeometryError(
            f"{name}: expected slices that are stacked along their normal, or a gantry tilted by up to "
            f"{degrees(np.arcsin(_MAX_SLANT)):.0f} degrees, got {degrees(np.arcsin(min(slant, 1.0))):.1f}.",
            code="dicom-gantry-tilt",
            remedy="no gantry tilts so far: the positions or the orientation are wrong; export the series anew.",
        )
    return slant
