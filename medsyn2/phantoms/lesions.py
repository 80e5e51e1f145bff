"""Lesions of a phantom: kinds, sizes and shapes.

A `Demand` asks for a lesion in a radiologist's terms; `medsyn2.phantoms.placement` finds a place for it and makes the
lesion, whose shape is a function of position. Lesions with a size in mm (nodules, opacities) live in the body frame;
fluid follows the anatomy.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn2.phantoms.anatomy import SIGN, Anatomy, Side
from medsyn2.phantoms.central import Point
from medsyn2.phantoms.chest import Chest
from medsyn2.phantoms.fields import Field, Points, Wave

Abnormality = Literal["nodules", "ground_glass", "consolidation", "pleural_effusion", "pericardial_effusion"]


@dataclass(frozen=True)
class Demand:
    """A request for one lesion."""

    kind: Abnormality  # Kind of the lesion
    side: Side | None  # Side; None leaves it open. A pericardial effusion has none.
    lobe: int | None  # Lobe, a label of `medsyn2.vocabulary.LOBES`; None leaves it open. Effusions have none.
    # Diameter in mm of a nodule, extent in mm of an opacity, volume in ml of a pleural effusion, thickness in
    # mm of a pericardial effusion
    size: float


@dataclass(frozen=True)
class Nodule:
    """A round solid nodule."""

    lobe: int
    centre_mm: Point
    diameter_mm: float
    calcified: bool


@dataclass(frozen=True)
class Opacity:
    """An irregular region of ground glass or consolidation, bounded by its lobe."""

    kind: Literal["ground_glass", "consolidation"]  # Ground glass or consolidation
    lobe: int  # Label of the lobe
    centre_mm: Point  # Centre in the body frame
    radii_mm: Point  # Half axes before the irregularity
    waves: tuple[Wave, ...]  # The irregularity: relative changes of the radius
    hu: float  # HU in the middle

    @property
    def extent_mm(self) -> float:
        """Mean diameter, in mm."""
        return 2 * float(np.prod(self.radii_mm)) ** (1 / 3)


@dataclass(frozen=True)
class PleuralEffusion:
    """Free pleural fluid of a supine patient."""

    side: Side  # Side of the chest
    volume_ml: float
    level_mm: float  # Level of the surface: fluid lies where `fluid_height` exceeds it
    slope: float  # Thinning of the layer towards the apex, mm per mm
    meniscus_mm: float  # Climb of the fluid along the walls
    atelectasis_mm: float  # Thickness of the compressed lung, 0 for none
    hu: float  # HU of the fluid


@dataclass(frozen=True)
class PericardialEffusion:
    """Fluid of even thickness around the heart."""

    thickness_mm: float
    hu: float


@dataclass(frozen=True)
class Lesions:
    """All lesions of a subject."""

    nodules: tuple[Nodule, ...] = ()
    opacities: tuple[Opacity, ...] = ()
    pleural: tuple[PleuralEffusion, ...] = ()
    pericardial: PericardialEffusion | None = None

    @property
    def pericardial_mm(self) -> float:
        """Thickness of the pericardial fluid, 0 for none."""
        return self.pericardial.thickness_mm if self.pericardial else 0.0

    def opacities_of(self, kind: str) -> tuple[Opacity, ...]:
        """Return the opacities of one kind."""
        return tuple(opacity for opacity in self.opacities if opacity.kind == kind)


def nodule_distance(nodule: Nodule, body: Points) -> Field:
    """Return the signed distance to a nodule, at points of the body frame."""
    squares = ((part - np.float32(centre)) ** 2 for part, centre in zip(body, nodule.centre_mm, strict=True))
    return np.sqrt(sum(squares)) - np.float32(nodule.diameter_mm / 2)


def opacity_distance(opacity: Opacity, body: Points) -> Field:
    """Return the approximate signed distance to an opacity, regardless of its lobe."""
    shifted = [part - np.float32(centre) for part, centre in zip(body, opacity.centre_mm, strict=True)]
    squares = ((part * np.float32(1 / radius)) ** 2 for part, radius in zip(shifted, opacity.radii_mm, strict=True))
    radius = np.sqrt(sum(squares))
    for wave in opacity.waves:
        phase = sum(np.float32(k) * part for k, part in zip(wave.wave_vector, shifted, strict=True))
        radius = radius + np.float32(wave.amplitude_mm[0]) * np.sin(phase + np.float32(wave.phase))
    return (radius - 1.0) * np.float32(opacity.extent_mm / 2)


def fluid_height(anatomy: Anatomy, side: Side, slope: float, meniscus_mm: float, points: Points) -> Field:
    """Return how early fluid covers points of a pleural space: the larger the value, the sooner.

    Fluid collects at the back first, then at the base. Its surface climbs along the chest wall and the mediastinum,
    as a meniscus does.
    """
    index = 0 if side == "right" else 1
    width = anatomy.half_width_mm * anatomy.side_factor[index]
    across = (points.x - np.float32(SIGN[side] * 0.52 * width)) * np.float32(1 / (0.46 * width))
    rise = np.float32(meniscus_mm) * np.minimum(across * across, 1.6)
    return points.y + rise - np.float32(slope) * (points.z - np.float32(anatomy.dome_z_mm[index]))


def fluid_distance(anatomy: Anatomy, effusion: PleuralEffusion, points: Points) -> Field:
    """Return the signed distance to an effusion's free surface; 1000 mm on the other side of the chest."""
    height = fluid_height(anatomy, effusion.side, effusion.slope, effusion.meniscus_mm, points)
    steep = float(np.hypot(1.0, effusion.slope))
    distance = (np.float32(effusion.level_mm) - height) * np.float32(1 / steep)
    return np.where(points.x * np.float32(SIGN[effusion.side]) > 0, distance, np.float32(1000.0))


def all_fluid(anatomy: Anatomy, effusions: tuple[PleuralEffusion, ...], chest: Chest) -> Field:
    """Return the signed distance to the nearest effusion's free surface."""
    distance = np.full(chest.space.shape, 1000.0, dtype=np.float32)
    for effusion in effusions:
        np.minimum(distance, fluid_distance(anatomy, effusion, chest.points), out=distance)
    return distance
