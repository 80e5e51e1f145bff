"""Ribs, spine, sternum, shoulder blades and collar bones.

A rib is the intersection of the chest wall's mid-surface with a sheet that descends from the spine (facing = 1) to
the front, so that an axial slice cuts several ribs, each as an oval. One formula gives all twelve pairs, because
ribs lie one vertebra apart.
"""

import numpy as np

from medsyn2.phantoms.anatomy import SIDES, SIGN, Anatomy
from medsyn2.phantoms.central import Point
from medsyn2.phantoms.fields import Field, Points, Slab, Tubes, coverage, tube_distance
from medsyn2.phantoms.thorax import RibCage, axis_y, half_depth, narrowing, spine_y

CORTEX_HU, MARROW_HU, CARTILAGE_HU, DISC_HU = 850.0, 190.0, 105.0, 80.0
CORTEX_MM = 1.6
RIB_OFFSET_MM, RIB_THICK_MM, RIB_HIGH_MM = 5.2, 3.7, 5.9
FIRST_VERTEBRA_ABOVE_CARINA = 3.6
"""Height of the first thoracic vertebra and rib above the carina, in vertebrae."""


def paint(hu: Field, covered: Field, value: Field | float) -> None:
    """Blend `value` into `hu` in place; `covered` is the share of each voxel from 0 to 1."""
    hu += covered * (np.float32(value) - hu)


def paint_bone(
    hu: Field, distance: Field, edge_mm: float, cortex_hu: float = CORTEX_HU, marrow_hu: float = MARROW_HU
) -> None:
    """Paint a bone as a shell of cortex around marrow."""
    paint(hu, coverage(distance, edge_mm), cortex_hu)
    paint(hu, coverage(distance + np.float32(CORTEX_MM), edge_mm), marrow_hu)


def first_rib_z(anatomy: Anatomy) -> float:
    """Return the z at which the first rib leaves the spine."""
    return FIRST_VERTEBRA_ABOVE_CARINA * anatomy.vertebra_mm


def paint_ribs(anatomy: Anatomy, hu: Field, points: Points, cage: RibCage, edge_mm: float) -> None:
    """Paint the ribs and their cartilages; all arrays are flat, of voxels near the rib cage."""
    facing = cage.facing
    turned = np.arccos(np.clip(facing, -1.0, 1.0)) * np.float32(1 / np.pi)
    sunk = np.minimum(turned, 0.72 - 0.9 * (turned - 0.72)) * (1.0 - 0.4 * narrowing(anatomy, points.z))
    ordinal = (np.float32(first_rib_z(anatomy)) - points.z - np.float32(anatomy.rib_drop_mm) * sunk) * np.float32(
        1 / anatomy.vertebra_mm
    )
    number = np.rint(ordinal)
    off = (ordinal - number) * np.float32(anatomy.vertebra_mm / RIB_HIGH_MM)
    out = (cage.depth - np.float32(RIB_OFFSET_MM)) * np.float32(1 / RIB_THICK_MM)
    distance = (np.sqrt(off * off + out * out) - 1.0) * np.float32(RIB_THICK_MM)
    far = np.float32(30.0)
    distance = np.where((number >= 0) & (number <= 11) & (np.abs(points.x) > 17.0), distance, far)
    bony_end = np.where(number >= 11, np.float32(0.35), np.where(number >= 10, np.float32(-0.1), np.float32(-0.66)))
    cartilage = np.where((number <= 9) & (np.abs(points.x) > 14.0), np.maximum(distance, facing - bony_end), far)
    paint(hu, coverage(cartilage, edge_mm), CARTILAGE_HU)
    paint_bone(hu, np.where(facing > bony_end, distance, far), edge_mm)


def paint_spine(anatomy: Anatomy, hu: Field, points: Points, edge_mm: float) -> None:
    """Paint vertebral bodies, discs, the canal with the cord, arches and processes, around x = 0."""
    x, z = points.x, points.z
    y = points.y - spine_y(anatomy, z)
    period = np.float32(anatomy.vertebra_mm)
    place = (z - np.float32(first_rib_z(anatomy))) / period
    off_mm = np.abs(place - np.rint(place)) * period
    grown = 1.0 + np.float32(0.0012) * np.minimum(-z, 200.0)
    waist = 1.0 - 0.09 * np.cos(off_mm * np.float32(2 * np.pi) / period)
    body = (np.sqrt((x / (16.5 * grown * waist)) ** 2 + (y / (13.5 * grown * waist)) ** 2) - 1.0) * 14.0
    end_plate = off_mm - (period / 2 - np.float32(2.3))
    arch = np.maximum(np.hypot(x / 1.15, y - 21.5) - 13.0, 9.0 - np.hypot(x / 1.1, y - 21.5))
    arch = np.maximum(arch, np.abs(z - np.float32(first_rib_z(anatomy)) - np.rint(place) * period + 2.0) - 8.5)
    low = np.abs(((z + 9.0 - np.float32(first_rib_z(anatomy))) / period + 0.18 * (y - 36.0) / 10.0 + 0.5) % 1.0 - 0.5)
    spinous = np.maximum(np.maximum(np.abs(x) - 3.2, np.abs(y - 42.0) - 12.0), low * period - 7.0)
    transverse = np.maximum(np.abs(y - 27.0 - 0.3 * np.abs(x)) - 4.2, np.abs(x) - 30.0)
    transverse = np.maximum(np.maximum(transverse, 11.0 - np.abs(x)), off_mm - 6.0)
    paint(hu, coverage(body, edge_mm), DISC_HU)
    paint_bone(hu, np.maximum(body, end_plate), edge_mm, 620.0, 170.0)
    paint_bone(hu, np.minimum(np.minimum(arch, spinous), transverse), edge_mm, 700.0, 280.0)
    canal = np.hypot(x / 1.1, y - 21.0) - 8.5
    paint(hu, coverage(canal, edge_mm), 12.0)
    paint(hu, coverage(np.hypot(x / 1.25, y - 21.0) - 4.6, edge_mm), 38.0)


def paint_sternum(anatomy: Anatomy, hu: Field, points: Points, edge_mm: float) -> None:
    """Paint manubrium, body and xiphoid, in front of the chest around x = 0."""
    x, y, z = points
    neck = narrowing(anatomy, z)
    front = axis_y(anatomy, z, neck) - half_depth(anatomy, neck)
    half_width = 13.0 + 11.0 * (0.5 + 0.5 * np.tanh((z - 8.0) * np.float32(1 / 7.0))) + 0.05 * np.minimum(-z, 60.0)
    half_width = np.where(z < -88.0, np.float32(7.0), half_width)
    plate = np.maximum(np.abs(x) - half_width, np.abs(y - front + 6.0) - 5.8)
    plate = np.maximum(plate, np.maximum(z - 46.0, -112.0 - z))
    joint = np.maximum(np.abs(z - 3.0) - 1.6, plate)
    paint_bone(hu, plate, edge_mm, 520.0, 130.0)
    paint(hu, coverage(joint, edge_mm), CARTILAGE_HU)


def shoulder_bones(anatomy: Anatomy) -> tuple[Tubes, Tubes]:
    """Return the collar bones, and the ridges and necks of the shoulder blades."""
    wide = anatomy.half_width_mm / 130.0
    deep = anatomy.half_depth_mm / 90.0
    clavicles, blades = [], []
    for side in SIDES:
        sign = SIGN[side] * wide

        def path(points: list[Point], sign: float = sign) -> list[Point]:
            return [(sign * x, deep * y, z) for x, y, z in points]

        clavicles.append(Tubes.along(path([(24, -52, 52), (58, -48, 66), (92, -22, 82), (128, 4, 98)]), [8, 5.5, 5, 6]))
        blades.append(Tubes.along(path([(62, 88, 66), (98, 84, 82), (134, 44, 98)]), [3.5, 5, 6]))
        blades.append(Tubes.along(path([(112, 52, 70), (132, 30, 78)]), [8, 12]))
        blades.append(Tubes.along(path([(150, 24, 82), (153, 24, 84)]), [20, 20]))
    return Tubes.concatenate(clavicles), Tubes.concatenate(blades)


def blade_distance(anatomy: Anatomy, points: Points, cage: RibCage) -> Field:
    """Return the signed distance to the flat part of the shoulder blades, behind the ribs."""
    wide = anatomy.half_width_mm / 130.0
    out = np.abs(points.x) * np.float32(1 / wide)
    inner = 62.0 + 0.1 * (70.0 - points.z)
    outer = 124.0 - 0.42 * (70.0 - points.z)
    plate = np.abs(cage.depth - 21.0 - 8.0 * narrowing(anatomy, points.z)) - 2.6
    edges = np.maximum(np.maximum(inner - out, out - outer), np.maximum(points.z - 84.0, -62.0 - points.z))
    return np.where(points.y > 0, np.maximum(plate, edges * np.float32(0.8)), np.float32(30.0))


def paint_shoulders(anatomy: Anatomy, hu: Field, slab: Slab) -> None:
    """Paint collar bones and the thick parts of the shoulder blades."""
    clavicles, blades = shoulder_bones(anatomy)
    for bones in (clavicles, blades):
        margin = 1.5 * slab.edge_mm
        distance = tube_distance(slab, bones, margin)
        near = distance < margin
        if near.any():
            flat = hu[near]
            paint_bone(flat, distance[near], slab.edge_mm)
            hu[near] = flat


def paint_blades(anatomy: Anatomy, hu: Field, points: Points, cage: RibCage, edge_mm: float) -> None:
    """Paint the flat part of the shoulder blades into flat arrays."""
    paint_bone(hu, blade_distance(anatomy, points, cage), edge_mm, 650.0, 300.0)
