"""Painting inside the rib cage: abdomen, mediastinum, heart, lungs, fluid and opacities.

All arrays are flat and hold the voxels of a slab that are inside. Tubes (vessels, bronchi) are painted later.
"""

import numpy as np

from medsyn2.phantoms.anatomy import Anatomy
from medsyn2.phantoms.bones import paint
from medsyn2.phantoms.chest import Chest
from medsyn2.phantoms.fields import Field, Points, coverage, ellipsoid, smooth_max, texture
from medsyn2.phantoms.incidental import paint_emphysema
from medsyn2.phantoms.lesions import Lesions, Opacity, all_fluid, nodule_distance, opacity_distance
from medsyn2.phantoms.subject import Subject
from medsyn2.phantoms.thorax import DIAPHRAGM_MM, Fissures, narrowing, spine_y
from medsyn2.types import Bool, Shaped

FAT_HU, MUSCLE_HU, HEART_HU, PERICARDIUM_HU = -98.0, 52.0, 42.0, 25.0
LIVER_HU, SPLEEN_HU, STOMACH_WALL_HU, STOMACH_HU, GAS_HU = 58.0, 50.0, 42.0, 22.0, -960.0
KIDNEY_HU, THYROID_HU = 34.0, 95.0
NODULE_HU, CALCIFIED_NODULE_HU, ATELECTASIS_HU, FISSURE_HU = 30.0, 320.0, 28.0, -480.0
FISSURE_MM = 1.2
OPACITY_EDGE_MM = 4.0
"""Width of an opacity's soft border, before the scanner's blur."""

Masks = dict[str, Shaped[np.ndarray, "..."]]


def paint_inside(subject: Subject, chest: Chest, body: Points, edge_mm: float) -> tuple[Field, Masks]:
    """Return HU and truth of the voxels inside the rib cage."""
    anatomy, lesions = subject.anatomy, subject.lesions
    hu = np.full(chest.space.shape, FAT_HU, dtype=np.float32)
    paint(hu, coverage(-2.0 - chest.cage.depth, edge_mm), MUSCLE_HU)
    _paint_neck(anatomy, hu, chest, edge_mm)
    _paint_abdomen(anatomy, hu, chest, edge_mm)
    paint(hu, coverage(np.abs(chest.pericardium) - 0.7, edge_mm) * np.float32(min(1.0, 1.5 / edge_mm)), PERICARDIUM_HU)
    if lesions.pericardial:
        paint(hu, coverage(chest.pericardium, edge_mm), lesions.pericardial.hu)
    paint(hu, coverage(chest.heart, edge_mm), HEART_HU)
    fluid = all_fluid(anatomy, lesions.pleural, chest)
    in_lung = chest.space < edge_mm
    space, dry = chest.space[in_lung], fluid[in_lung]
    lung_hu = _lung_hu(subject, chest, body, fluid, in_lung, edge_mm)
    for effusion in lesions.pleural:
        own = coverage(dry, edge_mm) * ((chest.points.x[in_lung] < 0) == (effusion.side == "right"))
        paint(lung_hu, own, effusion.hu)
    mixed = hu[in_lung]
    paint(mixed, coverage(space, edge_mm), 0.0)
    hu[in_lung] = mixed + coverage(space, edge_mm) * lung_hu
    return hu, _masks(subject.lesions, chest, body, fluid)


def _lung_hu(
    subject: Subject, chest: Chest, body: Points, fluid: Field, where: Bool[np.ndarray, " n"], edge_mm: float
) -> Field:
    anatomy, lesions = subject.anatomy, subject.lesions
    points, near, lobes = chest.points.at(where), body.at(where), chest.lobes[where]
    hu = np.float32(anatomy.lung_hu) + np.float32(anatomy.lung_gradient_hu / 100.0) * points.y
    hu += 4.0 * texture(Points(*(0.6 * part for part in near)))
    if subject.incidental.emphysema:
        paint_emphysema(anatomy, hu, near, lobes)
    surfaces = chest.fissures.at(where)
    _paint_fissures(hu, surfaces, lobes, edge_mm)
    for opacity in lesions.opacities:
        covered = coverage(opacity_distance(opacity, near), max(edge_mm, OPACITY_EDGE_MM)) * (lobes == opacity.lobe)
        paint(hu, covered, opacity.hu + _mottle(near, opacity))
    for effusion in lesions.pleural:
        if effusion.atelectasis_mm:
            own = (points.x < 0) == (effusion.side == "right")
            lower = (lobes == 2) | (lobes == 5)
            paint(
                hu,
                coverage(fluid[where] - np.float32(effusion.atelectasis_mm), edge_mm) * (own & lower),
                ATELECTASIS_HU,
            )
    return hu


def _mottle(points: Points, opacity: Opacity) -> Field:
    return np.float32(22.0 if opacity.kind == "ground_glass" else 3.0) * texture(points)


def _paint_fissures(hu: Field, surfaces: Fissures, lobes: Shaped[np.ndarray, " n"], edge_mm: float) -> None:
    share = min(1.0, FISSURE_MM / edge_mm)
    half = max(FISSURE_MM, edge_mm) / 2
    paint(hu, share * coverage(np.abs(surfaces.oblique) - np.float32(half), edge_mm), FISSURE_HU)
    upper = (lobes == 3) | (lobes == 4)
    paint(hu, share * upper * coverage(np.abs(surfaces.horizontal) - np.float32(half), edge_mm), FISSURE_HU)


def paint_nodules(lesions: Lesions, hu: Field, body: Points, edge_mm: float) -> None:
    """Paint the nodules in place."""
    for nodule in lesions.nodules:
        value = CALCIFIED_NODULE_HU if nodule.calcified else NODULE_HU
        paint(hu, coverage(nodule_distance(nodule, body), edge_mm), value)


def _masks(lesions: Lesions, chest: Chest, body: Points, fluid: Field) -> Masks:
    """Return the masks of all structures but the tubes; pericardial fluid is never heart."""
    lungs = (chest.space < 0) & (fluid >= 0)
    empty = np.zeros(lungs.shape, dtype=bool)
    masks: Masks = {
        "lungs": lungs,
        "lobe_labels": chest.lobes * lungs,
        "heart": chest.heart < 0,
        "pericardial_effusion": (chest.pericardium < 0) & (chest.heart >= 0),
        "pleural_effusion": (chest.space < 0) & (fluid < 0),
        "ground_glass": empty.copy(),
        "consolidation": empty.copy(),
        "nodules": empty.copy(),
    }
    for opacity in lesions.opacities:
        masks[opacity.kind] |= (opacity_distance(opacity, body) < 0) & (chest.lobes == opacity.lobe) & lungs
    for nodule in lesions.nodules:
        masks["nodules"] |= nodule_distance(nodule, body) < 0
    masks["ground_glass"] &= ~masks["consolidation"]
    return masks


def _paint_neck(anatomy: Anatomy, hu: Field, chest: Chest, edge_mm: float) -> None:
    """Paint the muscles around the neck's root and the thyroid, above the lungs."""
    points = chest.points
    neck = narrowing(anatomy, points.z - np.float32(22.0))
    ring = 19.0 * neck * (1.0 + 0.4 * chest.cage.facing) + chest.cage.depth
    before_spine = 21.0 - np.hypot(points.x * 0.8, points.y - spine_y(anatomy, points.z) + 2.0)
    muscle = np.maximum(ring, np.minimum(before_spine, 40.0 * (neck - 0.45)))
    paint(hu, coverage(-muscle, edge_mm), MUSCLE_HU)
    mirrored = Points(np.abs(points.x + 3.0), points.y, points.z)
    paint(hu, coverage(ellipsoid(mirrored, (17.0, 4.0, 104.0), (8.0, 10.0, 22.0)), edge_mm), THYROID_HU)


def _paint_abdomen(anatomy: Anatomy, hu: Field, chest: Chest, edge_mm: float) -> None:
    """Paint diaphragm, liver, spleen and stomach below the domes."""
    below = chest.points.z < chest.diaphragm_z + np.float32(DIAPHRAGM_MM + edge_mm)
    if not below.any():
        return
    some, points = hu[below], chest.points.at(below)
    depth, wall = chest.diaphragm_z[below] - points.z, chest.cage.depth[below]
    band = np.maximum(np.abs(depth + np.float32(DIAPHRAGM_MM / 2)) - DIAPHRAGM_MM / 2, wall)
    paint(some, coverage(band, edge_mm), MUSCLE_HU)
    shell = np.maximum(-depth, wall + 6.0)
    for organ, value in _abdominal_organs(anatomy, points, shell):
        paint(some, coverage(organ, edge_mm), value)
    hu[below] = some


def _abdominal_organs(anatomy: Anatomy, points: Points, shell: Field) -> list[tuple[Field, float]]:
    """Return signed distance and HU of each organ; `shell` is the distance to the space below the diaphragm."""
    width, (_, dome) = anatomy.half_width_mm, anatomy.dome_z_mm
    x, y, z = points
    before_spine = np.hypot(x, np.minimum(y - spine_y(anatomy, z), 0.0))
    left_lobe = x - 0.22 * width + 0.5 * np.maximum(y + 10.0, 0.0) + 0.25 * (dome - z)
    liver = smooth_max(smooth_max(shell, 0.85 * left_lobe, 26.0), 34.0 - before_spine, 14.0)
    spleen = ellipsoid(points, (0.70 * width, 0.36 * anatomy.half_depth_mm, dome - 46.0), (27.0, 44.0, 42.0))
    stomach = ellipsoid(points, (0.44 * width, -14.0, dome - 40.0), (40.0, 46.0, 36.0))
    stomach = smooth_max(np.maximum(stomach, 3.0 - liver), shell, 6.0)
    contents = stomach + 4.0
    mirrored = Points(np.abs(x), y, z)
    kidney = ellipsoid(mirrored, (0.44 * width, 0.42 * anatomy.half_depth_mm, dome - 112.0), (27.0, 24.0, 50.0))
    organs: list[tuple[Field, float]] = [
        (np.maximum(kidney, shell), KIDNEY_HU),
        (liver, LIVER_HU),
        (np.maximum(spleen, shell), SPLEEN_HU),
        (stomach, STOMACH_WALL_HU),
        (contents, STOMACH_HU),
    ]
    if anatomy.stomach_gas:
        organs.append((np.maximum(contents, y + 12.0), GAS_HU))
    return organs
