"""The walls of the chest: rib cage, diaphragm, mediastinum and fissures.

A lung fills the space inside the rib cage, above its half of the diaphragm, below its apex and outside the mediastinum.
All functions take points of the anatomical frame and return signed distances in mm (negative inside) or labels.
"""

from typing import NamedTuple

import numpy as np

from medsyn2.phantoms.anatomy import SIDES, Anatomy
from medsyn2.phantoms.fields import Field, Points, smooth_max, smooth_min
from medsyn2.types import Bool, Shaped

PLEURA_MM = 2.5
"""Distance from the inner rib surface to the lung surface."""
DIAPHRAGM_MM = 4.0
"""Thickness of the diaphragm."""
MEDIASTINAL_FAT_MM = 4.5
"""Fat around the heart and the great vessels."""


class RibCage(NamedTuple):
    """Position of points relative to the inner surface of the rib cage."""

    depth: Field  # Horizontal distance beyond the surface, in mm; negative inside
    facing: Field  # 1 at the back, 0 at the side, -1 at the front
    reach: Field  # Distance of the surface from the axis of the chest in that direction, in mm

    def at(self, region: Bool[np.ndarray, "..."]) -> "RibCage":
        """Return the positions of the points of a region."""
        return RibCage(*(part[region] for part in self))


def narrowing(anatomy: Anatomy, z: Field) -> Field:
    """Return 0 in the chest and 1 in the neck."""
    return 0.5 + 0.5 * np.tanh((z - np.float32(anatomy.shoulder_z_mm)) * np.float32(1 / anatomy.shoulder_soft_mm))


def axis_y(anatomy: Anatomy, z: Field, neck: Field) -> Field:
    """Return the y of the chest's axis at height z."""
    away = np.maximum(z + 30.0, -110.0)
    return 14.0 * neck - np.float32(anatomy.kyphosis_mm * 1e-4) * away * away


def half_depth(anatomy: Anatomy, neck: Field) -> Field:
    """Return the rib cage's half depth."""
    return np.float32(anatomy.half_depth_mm) * (1.0 - np.float32(0.5) * neck)


def rib_cage(anatomy: Anatomy, points: Points) -> RibCage:
    """Locate points relative to the rib cage."""
    x, y, z = points
    neck = narrowing(anatomy, z)
    right, left = anatomy.side_factor
    width = np.float32(anatomy.half_width_mm) * (1.0 - np.float32(0.7) * neck)
    width *= 1.0 - np.float32(anatomy.flare / 100.0) * np.minimum(z, 40.0)
    width *= np.where(x < 0, np.float32(right), np.float32(left))
    y = y - axis_y(anatomy, z, neck)
    across, along = x / width, y / half_depth(anatomy, neck)
    square, product = across * across + along * along, across * along
    rho = np.sqrt(square) + np.float32(1e-4)
    radius = rho * (
        1.0 - np.float32(4 * anatomy.squareness) * (product * product) / (square * square + np.float32(1e-6))
    )
    length = np.sqrt(x * x + y * y)
    reach = length / np.maximum(radius, np.float32(1e-3))
    return RibCage(length - reach, along / rho, reach)


def diaphragm_z(anatomy: Anatomy, points: Points) -> Field:
    """Return the height of the diaphragm's upper surface above or below each point.

    Each half is a dome that is flat towards the midline and falls towards the chest wall; the halves meet
    smoothly under the heart.
    """
    x, y, z = points
    middle_y = y - axis_y(anatomy, z, narrowing(anatomy, z))
    levels = []
    for index, _ in enumerate(SIDES):
        outwards = x if index else -x
        width = np.float32(anatomy.half_width_mm * anatomy.side_factor[index])
        middle = np.float32(0.48) * width
        offset = outwards - middle
        across = np.where(offset > 0, offset / (np.float32(0.56) * width), offset / (np.float32(1.9) * width))
        behind = middle_y - np.float32(anatomy.dome_y_mm)
        reach = np.float32(anatomy.half_depth_mm)
        to_back, to_front = (reach - np.float32(anatomy.dome_y_mm), 1.3 * (reach + np.float32(anatomy.dome_y_mm)))
        along = np.where(behind > 0, behind / to_back, behind / to_front)
        fall = np.minimum(across * across + along * along, 1.6)
        levels.append(
            np.float32(anatomy.dome_z_mm[index])
            - np.float32(anatomy.sulcus_mm[index]) * fall * (0.35 + 0.65 * fall)
            - np.float32(anatomy.dome_tilt) * behind
        )
    weight = 0.5 + 0.5 * np.tanh(x * np.float32(1 / 16.0))
    return levels[0] + (levels[1] - levels[0]) * weight


def apex_z(anatomy: Anatomy, points: Points) -> Field:
    """Return the height of the lung's apex surface above or below each point."""
    x, y, _ = points
    right, left = anatomy.apex_z_mm
    top = np.where(x < 0, np.float32(right), np.float32(left))
    across = (np.abs(x) - np.float32(0.31 * anatomy.half_width_mm)) * np.float32(1 / (0.3 * anatomy.half_width_mm))
    along = (y - 16.0) * np.float32(1 / (0.5 * anatomy.half_depth_mm))
    return top + 20.0 - 20.0 * np.sqrt(1.0 + 2.5 * (across * across + along * along))


def spine_y(anatomy: Anatomy, z: Field) -> Field:
    """Return the y of the middle of the vertebral bodies at height z."""
    neck = narrowing(anatomy, z)
    back = axis_y(anatomy, z, neck) + half_depth(anatomy, neck)
    return back - np.float32(0.36 * anatomy.half_depth_mm) + 6.0 * neck


def cut_heart(anatomy: Anatomy, points: Points, heart: Field, cage: RibCage, diaphragm: Field) -> Field:
    """Cut the heart's signed distance by the diaphragm and the chest wall."""
    wall = cage.depth + 9.0
    floor = diaphragm + 1.0 - points.z
    return smooth_max(heart, np.maximum(wall, floor), 8.0)


def mediastinum(anatomy: Anatomy, points: Points, heart: Field, tubes: Field, cage: RibCage) -> Field:
    """Return the signed distance to the mediastinum, including the fat around its organs.

    `heart` is the distance to the pericardium, `tubes` that to the nearest great vessel or the oesophagus.
    """
    x, y, z = points
    y_spine = spine_y(anatomy, z)
    forward = np.minimum(y - y_spine, 0.0)
    spine = np.sqrt(x * x + forward * forward) - 21.0
    broad = np.float32(19.0) + 15.0 * narrowing(anatomy, z + 22.0)
    back = y - y_spine
    front = np.float32(8.0) - 4.0 * narrowing(anatomy, z) - y
    column = smooth_max(np.abs(x) - broad, np.maximum(back, front), 22.0)
    septum = np.maximum(np.abs(x - 2.0) - (3.0 + 15.0 * np.exp(-np.abs(cage.depth) * np.float32(1 / 16.0))), y - 5.0)
    organs = smooth_min(heart - np.float32(3.0), tubes - np.float32(MEDIASTINAL_FAT_MM), 16.0)
    walls = smooth_min(smooth_min(spine, column, 14.0), septum, 12.0)
    return smooth_min(organs, walls, 18.0)


def pleural_space(anatomy: Anatomy, points: Points, cage: RibCage, diaphragm: Field, middle: Field) -> Field:
    """Return the signed distance to the pleural space, which lungs and pleural fluid share."""
    above = (diaphragm + np.float32(DIAPHRAGM_MM) - points.z) * np.float32(0.75)
    below = (points.z - apex_z(anatomy, points)) * np.float32(0.75)
    return np.maximum(np.maximum(cage.depth + np.float32(PLEURA_MM), -middle), np.maximum(above, below))


class Fissures(NamedTuple):
    """Signed distances to the fissures, in mm."""

    oblique: Field  # Positive above the oblique fissure of the point's own side
    horizontal: Field  # Positive above the horizontal fissure, which only the right lung has

    def at(self, region: Bool[np.ndarray, "..."]) -> "Fissures":
        """Return the distances of the points of a region."""
        return Fissures(*(part[region] for part in self))


def fissures(anatomy: Anatomy, points: Points) -> Fissures:
    """Locate points relative to the fissures."""
    x, y, z = points
    is_right = x < 0
    out = np.abs(x) * np.float32(1 / anatomy.half_width_mm)
    wave = np.sin(x * np.float32(0.035)) * np.sin(y * np.float32(0.03) + 1.0)

    def of_side(pair: tuple[float, float]) -> Field:
        return np.where(is_right, np.float32(pair[0]), np.float32(pair[1]))

    slope = of_side(anatomy.oblique_slope)
    level = of_side(anatomy.oblique_z_mm) + slope * y + of_side(anatomy.oblique_curve_mm) * out * out + 5.0 * wave
    oblique = (z - level) / np.sqrt(1.0 + slope * slope)
    horizontal = z - (np.float32(anatomy.horizontal_z_mm) - 10.0 * out * out - 0.15 * y + 4.0 * wave)
    return Fissures(oblique, horizontal)


def lobe_labels(points: Points, surfaces: Fissures) -> Shaped[np.ndarray, "..."]:
    """Return the lobe label of each point, as if all of the space were lung."""
    lower_left, lower_right, middle = np.uint8(2), np.uint8(5), np.uint8(4)
    right = np.where(surfaces.oblique < 0, lower_right, np.where(surfaces.horizontal < 0, middle, np.uint8(3)))
    return np.where(points.x < 0, right, np.where(surfaces.oblique < 0, lower_left, np.uint8(1)))
