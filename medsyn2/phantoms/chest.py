"""The chest at a set of points: every surface that bounds lungs, fluid and lesions."""

from dataclasses import dataclass

import numpy as np

from medsyn2.phantoms.anatomy import Anatomy
from medsyn2.phantoms.central import GreatVessels, heart_distance
from medsyn2.phantoms.fields import Field, Points, bend, tube_distance_at
from medsyn2.phantoms.thorax import (
    Fissures,
    RibCage,
    cut_heart,
    diaphragm_z,
    fissures,
    lobe_labels,
    mediastinum,
    pleural_space,
    rib_cage,
)
from medsyn2.types import Shaped

TUBE_MARGIN_MM = 30.0
"""Distance up to which the great vessels shape the mediastinum."""


@dataclass(frozen=True)
class Chest:
    """Distances and labels at points of the anatomical frame; signed distances in mm, negative inside."""

    points: Points
    cage: RibCage  # Their position relative to the rib cage
    diaphragm_z: Field  # Height of the diaphragm there
    pericardium: Field  # Distance to the heart and the fluid around it
    heart: Field  # Distance to the heart's own surface
    middle: Field  # Distance to the mediastinum
    space: Field  # Distance to the pleural space, which lungs and pleural fluid share
    fissures: Fissures  # Distances to the fissures
    lobes: Shaped[np.ndarray, "..."]  # Lobe labels, as if all were lung


def chest_at(anatomy: Anatomy, points: Points, tubes_mm: Field, pericardial_fluid_mm: float) -> Chest:
    """Evaluate the chest.

    Args:
        tubes_mm: Distance to the great vessels there.
        pericardial_fluid_mm: Thickness of the fluid around the heart, 0 for none.
    """
    cage = rib_cage(anatomy, points)
    floor = diaphragm_z(anatomy, points)
    uncut = heart_distance(anatomy, points) - np.float32(pericardial_fluid_mm)
    pericardium = cut_heart(anatomy, points, uncut, cage, floor)
    heart = cut_heart(anatomy, points, uncut + np.float32(pericardial_fluid_mm), cage, floor)
    middle = mediastinum(anatomy, points, pericardium, tubes_mm, cage)
    surfaces = fissures(anatomy, points)
    return Chest(
        points=points,
        cage=cage,
        diaphragm_z=floor,
        pericardium=pericardium,
        heart=heart,
        middle=middle,
        space=pleural_space(anatomy, points, cage, floor, middle),
        fissures=surfaces,
        lobes=lobe_labels(points, surfaces),
    )


@dataclass(frozen=True)
class Cloud:
    """The chest on a coarse lattice of the body frame, for volumes and for placing lesions."""

    body: Points  # The lattice's points inside the pleural spaces, in the body frame
    chest: Chest  # The chest there
    point_ml: float  # Volume that each point represents


def chest_cloud(anatomy: Anatomy, vessels: GreatVessels, pericardial_fluid_mm: float, step_mm: float) -> Cloud:
    """Evaluate the chest on a lattice and keep the points inside the pleural spaces."""
    axes = [np.arange(-reach, high, step_mm, dtype=np.float32) for reach, high in ((168, 169), (125, 126), (240, 125))]
    body = Points(*(axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")))
    points = bend(anatomy.waves, body)
    inside = rib_cage(anatomy, points).depth < 0
    body, points = body.at(inside), points.at(inside)
    tubes_mm = tube_distance_at(points, vessels.all_solid, TUBE_MARGIN_MM)
    kept = chest_at(anatomy, points, tubes_mm, pericardial_fluid_mm).space < 0
    points = points.at(kept)
    chest = chest_at(anatomy, points, tubes_mm[kept], pericardial_fluid_mm)
    return Cloud(body.at(kept), chest, step_mm**3 / 1000.0)
