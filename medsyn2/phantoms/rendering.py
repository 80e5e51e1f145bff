"""Rendering of a subject: HU and ground truth on any grid.

A grid is painted slab by slab, to bound memory. In a slab, voxels outside the rib cage get the chest wall, voxels
inside get abdomen, mediastinum, lungs and fluid, both as flat arrays; tubes (vessels, bronchi) follow, and later
paint covers earlier paint. A structure's mask is where its signed distance is negative, so painted surface and mask
agree to a fraction of a voxel.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medsyn2.ct.masks import lobe_boundaries
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.phantoms.bones import paint, paint_shoulders, paint_spine, paint_sternum
from medsyn2.phantoms.central import GreatVessels, great_vessels
from medsyn2.phantoms.chest import TUBE_MARGIN_MM, chest_at
from medsyn2.phantoms.fields import Field, Slab, Tubes, coverage, slabs, tube_coverage, tube_distance
from medsyn2.phantoms.incidental import coronary_plaque, plaque_share
from medsyn2.phantoms.inside import paint_inside, paint_nodules
from medsyn2.phantoms.subject import Subject
from medsyn2.phantoms.thorax import rib_cage
from medsyn2.phantoms.trees import LungTrees, grow_trees
from medsyn2.phantoms.wall import paint_wall
from medsyn2.types import Bool, Shaped
from medsyn2.vocabulary import LOBES

MAX_SLAB_VOXELS = 2_500_000
BLOOD_HU, VESSEL_HU, WALL_HU, OESOPHAGUS_HU, CATHETER_HU = 45.0, 40.0, 25.0, 32.0, 1800.0
CALCIUM_HU, AIRWAY_HU = 700.0, -1000.0
TRACHEA_WALL_MM = 1.6
SPINE_WIDTH_MM, SPINE_FRONT_Y_MM, STERNUM_BACK_Y_MM = 38.0, 15.0, -25.0
"""Bounds of the regions in which spine and sternum are painted."""
BOUNDARY_RADIUS = 1
"""Dilation of lobe boundaries in voxels, as in the masks that condition the model."""

Mask = Shaped[np.ndarray, "d h w"]


@dataclass(frozen=True)
class Phantom:
    """A painted subject."""

    volume: CTVolume  # HU before noise, int16
    # Binary label maps by name: the structures of `medsyn2.vocabulary.STRUCTURES` (``lobes`` holds the lobes'
    # boundaries) and ``lungs``; also ``lobe_labels`` with the five lobes
    truth: Mapping[str, LabelMap]


@dataclass(frozen=True)
class Scene:
    """A subject with its vessels and lung trees, which are the same on every grid."""

    subject: Subject
    vessels: GreatVessels
    trees: LungTrees


def build_scene(subject: Subject) -> Scene:
    """Lay a subject's vessels and grow its lung trees."""
    vessels = great_vessels(subject.anatomy)
    return Scene(subject, vessels, grow_trees(subject.anatomy, vessels, subject.lesions))


def render(subject: Subject, grid: Grid) -> Phantom:
    """Paint a subject on a grid, without noise."""
    scene = build_scene(subject)
    hu = np.empty(grid.shape, dtype=np.int16)
    masks: dict[str, Mask] = {}
    for where, slab in slabs(grid, subject.pose.world_to_body, subject.anatomy.waves, MAX_SLAB_VOXELS):
        values, parts = paint_slab(scene, slab)
        hu[where] = np.rint(values)
        for name, part in parts.items():
            masks.setdefault(name, np.zeros(grid.shape, dtype=np.uint8))[where] = part
    masks["lobes"] = lobe_boundaries(masks["lobe_labels"], BOUNDARY_RADIUS).astype(np.uint8)
    truth = {
        name: LabelMap(mask, grid.affine_mm, LOBES if name == "lobe_labels" else {1: name})
        for name, mask in masks.items()
    }
    return Phantom(CTVolume(hu, grid.affine_mm), truth)


def paint_slab(scene: Scene, slab: Slab) -> tuple[Field, dict[str, Mask]]:
    """Return HU and masks of one slab."""
    subject, points = scene.subject, slab.points
    cage = rib_cage(subject.anatomy, points)
    inside = cage.depth < 0
    outside = ~inside
    hu = np.empty(slab.shape, dtype=np.float32)
    hu[outside] = paint_wall(subject.anatomy, points.at(outside), cage.at(outside), slab.edge_mm)
    solid = tube_distance(slab, scene.vessels.all_solid, TUBE_MARGIN_MM)
    chest = chest_at(subject.anatomy, points.at(inside), solid[inside], subject.lesions.pericardial_mm)
    hu[inside], truth = paint_inside(subject, chest, slab.body.at(inside), slab.edge_mm)
    masks = {name: _scatter(part, inside) for name, part in truth.items()}
    _paint_mediastinum(scene, slab, hu)
    _paint_midline_bones(scene, slab, hu)
    paint_shoulders(subject.anatomy, hu, slab)
    _paint_lung_trees(scene, slab, hu, masks)
    return hu, masks


def _scatter(flat: Shaped[np.ndarray, " n"], where: Bool[np.ndarray, "d h w"]) -> Mask:
    whole = np.zeros(where.shape, dtype=np.uint8)
    whole[where] = flat
    return whole


def _paint_mediastinum(scene: Scene, slab: Slab, hu: Field) -> None:
    """Paint the great vessels and the oesophagus, with their plaques and catheter."""
    vessels, incidental = scene.vessels, scene.subject.incidental
    for tubes, value in (
        (vessels.oesophagus, OESOPHAGUS_HU),
        (vessels.veins, BLOOD_HU),
        (vessels.pulmonary, BLOOD_HU),
        (vessels.arteries, BLOOD_HU),
    ):
        paint(hu, tube_coverage(slab, tubes), value)
    if incidental.aortic_calcification:
        wall = np.abs(tube_distance(slab, vessels.aorta, 6.0)) - np.float32(0.9)
        near = wall < slab.edge_mm
        plaque = coverage(wall[near], slab.edge_mm) * plaque_share(slab.points.at(near))
        flat = hu[near]
        paint(flat, plaque, CALCIUM_HU)
        hu[near] = flat
    if incidental.coronary_calcification:
        paint(hu, tube_coverage(slab, coronary_plaque(scene.subject.anatomy)), CALCIUM_HU)
    if incidental.catheter:
        paint(hu, tube_coverage(slab, vessels.catheter), CATHETER_HU)


def _paint_midline_bones(scene: Scene, slab: Slab, hu: Field) -> None:
    anatomy, points = scene.subject.anatomy, slab.points
    near = np.abs(points.x) < SPINE_WIDTH_MM
    behind = near & (points.y > SPINE_FRONT_Y_MM)
    before = near & (points.y < STERNUM_BACK_Y_MM)
    for where, paint_bones in ((behind, paint_spine), (before, paint_sternum)):
        flat = hu[where]
        paint_bones(anatomy, flat, points.at(where), slab.edge_mm)
        hu[where] = flat


def _paint_lung_trees(scene: Scene, slab: Slab, hu: Field, masks: dict[str, Mask]) -> None:
    """Paint vessels, then nodules, then bronchi and the trachea; add the masks of vessels and airways."""
    trees, lungs = scene.trees, masks["lungs"] != 0
    outside_heart = (masks["heart"] == 0) & (masks["pericardial_effusion"] == 0)
    blood = tube_coverage(slab, trees.vessels) * outside_heart
    paint(hu, blood, np.maximum(hu, np.float32(VESSEL_HU)))
    if scene.subject.lesions.nodules:
        flat = hu[lungs]
        paint_nodules(scene.subject.lesions, flat, slab.body.at(lungs), slab.edge_mm)
        hu[lungs] = flat
    central = scene.vessels.lumen
    wall = Tubes(central.start_mm, central.end_mm, central.radius_mm + np.float32(TRACHEA_WALL_MM))
    for walls in (wall, trees.wall):
        paint(hu, tube_coverage(slab, walls) * outside_heart, WALL_HU)
    air = np.maximum(tube_coverage(slab, central), tube_coverage(slab, trees.lumen)) * outside_heart
    paint(hu, air, AIRWAY_HU)
    masks["airways"] = (air >= 0.5).astype(np.uint8)
    masks["vessels"] = ((blood >= 0.5) & lungs & (air < 0.5)).astype(np.uint8)
