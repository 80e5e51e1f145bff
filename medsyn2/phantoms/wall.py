"""The chest wall, outside the rib cage's inner surface: bones, muscles, fat, breasts and skin."""

import numpy as np

from medsyn2.phantoms.anatomy import Anatomy
from medsyn2.phantoms.bones import paint, paint_blades, paint_ribs
from medsyn2.phantoms.fields import Field, Points, coverage, ellipsoid
from medsyn2.phantoms.thorax import RibCage, axis_y, half_depth, narrowing
from medsyn2.types import Float

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU, GLAND_HU = -1000.0, -102.0, 52.0, 18.0, 32.0
SKIN_MM = 2.2
RIB_LAYER_MM = 11.0
"""Thickness of the layer that holds the ribs."""


def _bump(values: Field, middle: float, width: float) -> Field:
    scaled = (values - np.float32(middle)) * np.float32(1 / width)
    return np.exp(-scaled * scaled)


def muscle_mm(anatomy: Anatomy, points: Points, cage: RibCage) -> Field:
    """Return the thickness of the rib layer with the pectoral, latissimus, shoulder and paraspinal muscles."""
    x, _, z = points
    out = np.abs(x)
    neck = narrowing(anatomy, z)
    high = 0.5 + 0.5 * np.tanh((z + 48.0) * np.float32(1 / 26.0))
    pectoral = 15.0 * high * _bump(cage.facing, -0.72, 0.34) * np.minimum(out * np.float32(1 / 26.0), 1.0)
    latissimus = (7.0 + 13.0 * high) * _bump(cage.facing, 0.32, 0.46)
    beside_spine = 17.0 * _bump(np.maximum(out - 22.0, 0.0), 0.0, 26.0) * np.maximum(cage.facing, 0.0)
    shoulder = shoulder_mm(anatomy, points, cage)
    back = 8.0 * _bump(cage.facing, 0.85, 0.3)
    trapezius = 15.0 * neck * np.maximum(cage.facing, 0.0)
    thickness = pectoral + latissimus + beside_spine + trapezius + back
    return RIB_LAYER_MM + np.float32(anatomy.muscle_factor) * thickness + shoulder


def shoulder_mm(anatomy: Anatomy, points: Points, cage: RibCage) -> Field:
    """Return the thickness that the shoulder girdle and the raised arms add to the wall."""
    high = 0.5 + 0.5 * np.tanh((points.z - 64.0) * np.float32(1 / 30.0))
    return np.float32(0.85 * anatomy.half_width_mm) * high * _bump(cage.facing, 0.1, 0.55)


def fat_mm(anatomy: Anatomy, points: Points, cage: RibCage) -> Field:
    """Return the thickness of the subcutaneous fat, including the breasts."""
    low = 0.5 - 0.5 * np.tanh((points.z + 70.0) * np.float32(1 / 60.0))
    share = 0.55 + 0.35 * cage.facing * cage.facing + 0.45 * low
    thickness = np.float32(anatomy.fat_mm) * share
    armpit = _bump(points.z, 48.0, 40.0) * _bump(cage.facing, -0.05, 0.5)
    thickness = thickness + np.float32(10.0 + 0.5 * anatomy.fat_mm) * armpit
    if anatomy.breast_mm:
        thickness = thickness + np.float32(anatomy.breast_mm) * _breast(anatomy, points, cage)
    return thickness


def _breast(anatomy: Anatomy, points: Points, cage: RibCage) -> Field:
    wide = np.float32(1 / (0.36 * anatomy.half_width_mm))
    across = (np.abs(points.x) - np.float32(0.56 * anatomy.half_width_mm)) * wide
    along = (points.z + 46.0) * np.float32(1 / 48.0)
    square = across * across + along * along
    return np.exp(-square * square * 0.8) * np.clip(-2.5 * cage.facing, 0.0, 1.0)


def paint_wall(anatomy: Anatomy, points: Points, cage: RibCage, edge_mm: float) -> Float[np.ndarray, " n"]:
    """Return HU of points outside the rib cage's inner surface, all arrays flat."""
    muscle = muscle_mm(anatomy, points, cage)
    fat = fat_mm(anatomy, points, cage)
    body = cage.depth - muscle - fat
    body = np.maximum(body, _behind_back(anatomy, points))
    hu = np.full(body.shape, AIR_HU, dtype=np.float32)
    paint(hu, coverage(body, edge_mm), SKIN_HU)
    paint(hu, coverage(body + np.float32(SKIN_MM), edge_mm), FAT_HU)
    if anatomy.breast_mm:
        _paint_gland(anatomy, hu, points, body, edge_mm)
    inner = cage.depth - muscle
    paint(hu, coverage(inner, edge_mm), MUSCLE_HU)
    _paint_fat_planes(anatomy, hu, points, muscle, cage.depth, edge_mm)
    near = cage.depth < 46.0
    some = hu[near]
    bones = cage.at(near)
    paint_ribs(anatomy, some, points.at(near), bones, edge_mm)
    paint_blades(anatomy, some, points.at(near), bones, edge_mm)
    hu[near] = some
    return hu


def _behind_back(anatomy: Anatomy, points: Points) -> Field:
    """Return the distance of points behind the plane to which the table flattens the back."""
    neck = narrowing(anatomy, points.z)
    level = np.float32(back_y(anatomy))
    lifted = axis_y(anatomy, points.z, neck) + half_depth(anatomy, neck) + np.float32(62.0)
    return points.y - np.minimum(level, lifted + 20.0)


def back_y(anatomy: Anatomy) -> float:
    """Return the y of the back, which lies on the table."""
    return anatomy.half_depth_mm + 0.62 * anatomy.fat_mm + 34.0


def _paint_gland(anatomy: Anatomy, hu: Field, points: Points, body: Field, edge_mm: float) -> None:
    radii = (0.22 * anatomy.half_width_mm, 34.0, 30.0)
    front = -anatomy.half_depth_mm - 20.0 - 0.5 * anatomy.breast_mm
    mirrored = Points(np.abs(points.x), points.y, points.z)
    gland = ellipsoid(mirrored, (0.55 * anatomy.half_width_mm, front, -50.0), radii)
    strands = 7.0 * np.sin(points.x * 0.31) * np.sin(points.y * 0.27) + 6.0 * np.sin(points.z * 0.24 + points.x * 0.1)
    paint(hu, 0.85 * coverage(np.maximum(gland + strands, body + 9.0), edge_mm), GLAND_HU)


def _paint_fat_planes(anatomy: Anatomy, hu: Field, points: Points, muscle: Field, depth: Field, edge_mm: float) -> None:
    """Paint the fat of the armpits and the thin layers of fat between thick muscles."""
    x, y, z = points
    armpit = ellipsoid(Points(np.abs(x), y, z), (0.98 * anatomy.half_width_mm, 4.0, 52.0), (30.0, 32.0, 34.0))
    ripple = 6.0 * np.sin(0.16 * x + 0.11 * z) * np.sin(0.15 * y - 0.12 * z)
    within = np.maximum(np.maximum(armpit + ripple, depth - muscle + 7.0), 13.0 - depth)
    paint(hu, 0.9 * coverage(within, edge_mm), FAT_HU)
    sheets = (
        np.sin(0.047 * x + 0.05 * y + 0.01 * z) + np.sin(0.06 * y - 0.035 * x + 0.02 * z) + np.sin(0.04 * z + 0.05 * x)
    )
    thick = np.clip((muscle - 18.0) * np.float32(1 / 8.0), 0.0, 1.0) * ((depth > 13.0) & (depth < muscle - 3.0))
    paint(hu, 0.75 * thick * np.clip(1.0 - np.abs(sheets) * np.float32(8.0), 0.0, 1.0), FAT_HU)


def body_half_width_mm(anatomy: Anatomy) -> float:
    """Return the half width of the body at the level of the heart."""
    return anatomy.half_width_mm * max(anatomy.side_factor) + 21.0 * anatomy.muscle_factor + 0.6 * anatomy.fat_mm + 8.0
