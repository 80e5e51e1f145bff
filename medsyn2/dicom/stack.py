"""Slices as a volume: sorted by position, evenly apart and perpendicular, or refused with the reason.

The order is that of the positions along the slices' normal; numbers of instances and names of files say nothing. A
volume on a regular grid needs each position once and equal steps. A missing slice, two distances in one series or a
tilted gantry cannot be had on such a grid without inventing values, so they are refused.

Source: DICOM PS3.3, C.7.6.2.1.1, the equation for pixel positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import degrees, prod

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


@dataclass(frozen=True)
class Stack:
    """The slices of a volume, in the order of their positions."""

    name: str  # For messages
    slices: tuple[Slice, ...]
    affine_mm: Affine  # Index (column, row, slice) to LPS mm
    part: str  # The attribute and its value that told it apart from others of its series; empty if it is alone
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
        GeometryError: If positions are missing, repeated or uneven, or the gantry was tilted.
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
    _check_steps(positions, normal, name)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[0] * first.spacing_mm[1], directions[1] * first.spacing_mm[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    return Stack(name, tuple(slices[index] for index in order), affine, part)


def _check_steps(positions: Float[np.ndarray, "n 3"], normal: Float[np.ndarray, " 3"], name: str) -> None:
    """Refuse positions, in order, that are not even steps along the normal."""
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
    if slant > MAX_SHEAR:
        raise GeometryError(
            f"{name}: expected slices that are stacked along their normal, got a slant of "
            f"{degrees(np.arcsin(min(slant, 1.0))):.1f} degrees.",
            code="dicom-gantry-tilt",
            remedy="the gantry was tilted; dcm2niix resamples such a series upright, or take one without tilt.",
        )
