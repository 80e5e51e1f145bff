"""Incidental findings without a mask: emphysema, calcified plaques, a central venous catheter."""

import numpy as np

from medsyn2.phantoms.anatomy import Anatomy
from medsyn2.phantoms.bones import paint
from medsyn2.phantoms.central import Point, heart_distance, scale_of
from medsyn2.phantoms.fields import Field, Points, Tubes, texture
from medsyn2.types import Shaped

HOLE_HU = -985.0
CORONARY_STARTS: tuple[Point, ...] = ((6.0, -72.0, -38.0), (22.0, -76.0, -54.0), (36.0, -76.0, -70.0))
"""Points of the standard thorax towards which the left anterior descending artery is searched."""


def paint_emphysema(anatomy: Anatomy, hu: Field, body: Points, lobes: Shaped[np.ndarray, " n"]) -> None:
    """Paint small holes into the upper lobes."""
    upper = (lobes == 1) | (lobes == 3)
    some = body.at(upper)
    pattern = texture(some)
    fading = np.clip((some.z + 30.0) * np.float32(1 / 50.0), 0.0, 1.0)
    flat = hu[upper]
    paint(flat, np.clip((pattern - 1.7) * 1.6, 0.0, 1.0) * fading, HOLE_HU)
    hu[upper] = flat


def plaque_share(points: Points) -> Field:
    """Return how calcified the aorta's wall is at each point, from 0 to 1."""
    pattern = np.sin(points.z * 0.13 + 0.08 * points.y) * np.sin(points.x * 0.21 - points.y * 0.16 + 0.5)
    return np.clip((pattern - 0.35) * 5.0, 0.0, 1.0)


def coronary_plaque(anatomy: Anatomy) -> Tubes:
    """Return the calcium on the front surface of the heart."""
    centre = np.asarray(scale_of(anatomy)([(4.0, -14.0, -66.0)])[0])
    on_surface: list[Point] = []
    for target in scale_of(anatomy)(list(CORONARY_STARTS)):
        direction = np.asarray(target) - centre
        shares = np.linspace(0.0, 2.5, 200)
        line = Points(*(centre + shares[:, None] * direction).astype(np.float32).T)
        outside = np.flatnonzero(heart_distance(anatomy, line) > -1.0)
        x, y, z = (float(part[outside[0]]) for part in line)
        on_surface.append((x, y, z))
    return Tubes.along(on_surface, [1.4] * len(on_surface))
