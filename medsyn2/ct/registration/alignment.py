"""The alignment of a case to the template, and the gates that decide whether to trust it.

Polar decomposition splits the matrix as A = R S into a rotation R and a symmetric stretch S. A person can judge the
angle of R and the eigenvalues of S, which are A's singular values. These scales are millimetres of the native CT per
millimetre of the template: 1.1 means lungs 10 % larger than the template's. ``affine.py`` makes the alignments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medsyn2.config import RegisterConfig
from medsyn2.ct.volume import Affine
from medsyn2.errors import RegistrationError
from medsyn2.facts import AlignmentFacts

AS_GIVEN = "as given"
MIRRORED = "left-right"
MIRROR_MARGIN = 0.025
"""Excess of the correlation with the mirrored template from which a CT counts as mirrored.

Measured on 9 real CTs and 40 phantoms: unmirrored, the largest excess is 0.007; mirrored, the real CTs have 0.046 to
0.154 and 38 of the phantoms 0.03 or more. The other two, whose disease makes the sides alike, cannot be told.
"""


@dataclass(frozen=True)
class Alignment:
    """An affine from the template to a native CT, with measures of its fit."""

    template_to_native_lps_mm: Affine  # World of the template to world of the native CT
    lung_dice: float  # Dice of the template's lungs with the CT's, on the template
    lung_inside: float  # Share of the CT's lungs that lies inside the template's grid
    lung_covered: float  # Share of the template's lungs that the CT's field of view covers
    lung_ml: float  # Volume of the CT's lungs, in the CT
    similarity: float  # Correlation of the HU with the template's, in and around the lungs
    # The same after a coarse fit to the template ``as given`` and to its mirror images
    orientation: Mapping[str, float] = field(default_factory=dict)
    start: str = "lungs"  # Start of the search: ``lungs`` or ``boxes``

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation nearest to the matrix; of a reflection, that of its negative."""
        left, _, right = np.linalg.svd(self.template_to_native_lps_mm[:3, :3])
        rotation = left @ right
        rotation = rotation * np.sign(np.linalg.det(rotation))
        return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1.0, 1.0))))

    @property
    def scales(self) -> tuple[float, float, float]:
        """Singular values of the matrix, largest first."""
        largest, middle, smallest = np.linalg.svd(self.template_to_native_lps_mm[:3, :3], compute_uv=False)
        return float(largest), float(middle), float(smallest)

    @property
    def best_orientation(self) -> str:
        """Orientation of the template that the CT resembles most; ``as given`` if it was not tested."""
        return max(self.orientation, key=lambda name: self.orientation[name], default=AS_GIVEN)

    @property
    def seems_mirrored(self) -> bool:
        """Whether the CT clearly resembles the template more with left and right exchanged."""
        if MIRRORED not in self.orientation:
            return False
        return self.orientation[MIRRORED] - self.orientation[AS_GIVEN] >= MIRROR_MARGIN

    def to_json(self) -> dict[str, Any]:
        """Return the alignment as JSON values, exactly."""
        return {**vars(self), "template_to_native_lps_mm": self.template_to_native_lps_mm.tolist()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Alignment":
        """Return the alignment of `to_json`."""
        return cls(**{**values, "template_to_native_lps_mm": np.array(values["template_to_native_lps_mm"])})

    def facts(self) -> AlignmentFacts:
        """Return the alignment as records hold it."""
        own = {
            **vars(self),
            "template_to_native_lps_mm": tuple(map(tuple, self.template_to_native_lps_mm.tolist())),
            "orientation": dict(self.orientation),
        }
        return AlignmentFacts(**own, rotation_deg=self.rotation_deg, scales=self.scales)


def check_alignment(alignment: Alignment, gates: RegisterConfig) -> None:
    """Refuse an alignment that fails a gate; the error names the first.

    Lungs that fit a left-right mirrored template better pass, because situs inversus exists and disease can make the
    sides alike; `Alignment.seems_mirrored` reports them.

    Raises:
        RegistrationError: With the code ``lungs-too-small``, ``lungs-cut-off``, ``upside-down``, ``back-to-front``,
            ``scale-implausible``, ``rotation-large``, ``lung-dice-low``, ``similarity-low`` or ``lungs-outside-grid``.
    """
    _check_lungs(alignment, gates)
    _check_orientation(alignment)
    _check_matrix(alignment, gates)
    _check_agreement(alignment, gates)
    if alignment.lung_inside < gates.min_lung_inside:
        raise RegistrationError(
            f"Expected at least {gates.min_lung_inside:.0%} of the lungs inside the grid "
            f"(register.min_lung_inside), got {alignment.lung_inside:.1%}.",
            code="lungs-outside-grid",
            remedy="enlarge the grid (grid.shape, grid.spacing_mm), or lower the gate.",
        )


def _check_lungs(alignment: Alignment, gates: RegisterConfig) -> None:
    if alignment.lung_ml < gates.min_lung_ml:
        raise RegistrationError(
            f"Expected lungs of at least {gates.min_lung_ml:g} ml (register.min_lung_ml), found "
            f"{alignment.lung_ml:.0f} ml.",
            code="lungs-too-small",
            remedy="leave the file out if it is no whole chest (cohort.exclude_txt); for children lower the gate.",
        )
    if alignment.lung_covered < gates.min_lung_covered:
        raise RegistrationError(
            f"Expected the field of view to cover at least {gates.min_lung_covered:.0%} of the template's lungs "
            f"(register.min_lung_covered), it covers {alignment.lung_covered:.0%}.",
            code="lungs-cut-off",
            remedy="this is a part of a chest, such as an abdomen with the lung bases; leave it out "
            "(cohort.exclude_txt), or lower the gate.",
        )


def _check_orientation(alignment: Alignment) -> None:
    codes = {"up-down": "upside-down", "front-back": "back-to-front"}
    best = alignment.best_orientation
    if best in codes:
        raise RegistrationError(
            f"Expected the CT to resemble the template as it is given (correlation "
            f"{alignment.orientation[AS_GIVEN]:.2f}), but it resembles it more with {best} mirrored "
            f"({alignment.orientation[best]:.2f}).",
            code=codes[best],
            remedy="correct the orientation in the file's header, or leave it out (cohort.exclude_txt).",
        )


def _check_matrix(alignment: Alignment, gates: RegisterConfig) -> None:
    low, high = gates.scale_range
    largest, _, smallest = alignment.scales
    mirrored = np.linalg.det(alignment.template_to_native_lps_mm[:3, :3]) <= 0
    if mirrored or smallest < low or largest > high:
        found = " and a reflection" if mirrored else ""
        raise RegistrationError(
            f"Expected scales from {low:g} to {high:g} against the template (register.scale_range), got "
            f"{smallest:.2f} to {largest:.2f}{found}.",
            code="scale-implausible",
            remedy="check the spacing in the file's header and that the CT shows a whole chest; a cohort of "
            "unusual sizes needs a wider range.",
        )
    if alignment.rotation_deg > gates.max_rotation_deg:
        raise RegistrationError(
            f"Expected a rotation of at most {gates.max_rotation_deg:g} degrees to the template "
            f"(register.max_rotation_deg), got {alignment.rotation_deg:.1f}.",
            code="rotation-large",
            remedy="look whether the patient really lies so; if yes, raise the gate.",
        )


def _check_agreement(alignment: Alignment, gates: RegisterConfig) -> None:
    if alignment.lung_dice < gates.min_lung_dice:
        raise RegistrationError(
            f"Expected the lungs to overlap the template's with a Dice of at least {gates.min_lung_dice:g} "
            f"(register.min_lung_dice), got {alignment.lung_dice:.3f}.",
            code="lung-dice-low",
            remedy="look whether this is a whole chest; severely diseased lungs that should be used need a lower gate.",
        )
    if alignment.similarity < gates.min_similarity:
        raise RegistrationError(
            f"Expected a correlation of at least {gates.min_similarity:g} with the template "
            f"(register.min_similarity), got {alignment.similarity:.2f}.",
            code="similarity-low",
            remedy="look whether this is a whole chest in HU; a template unlike the cohort needs a lower gate.",
        )
