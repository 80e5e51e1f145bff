"""The trees of the lung: arteries, veins and bronchi, grown to fill each lobe.

Targets are spread evenly over a lobe by a low-discrepancy sequence. A branch that serves a set of targets runs part
of the way to their centre and halves the set along its longest direction, until each twig serves one target. Radii
follow Murray's law, r = r_twig * (targets served)^(1/exponent), so the vessels taper as real ones do. Bronchi run
along the arteries and stop earlier; veins grow independently.

Source: Recursive bisection of the supplied territory after Wang, Bassingthwaighte et al.; Murray 1926 for the radii.
"""

from dataclasses import dataclass

import numpy as np

from medsyn2.phantoms.anatomy import Anatomy
from medsyn2.phantoms.central import GreatVessels, Point, lobar_side
from medsyn2.phantoms.chest import TUBE_MARGIN_MM, chest_at
from medsyn2.phantoms.fields import Points, Tubes, tube_distance_at
from medsyn2.phantoms.lesions import Lesions, all_fluid
from medsyn2.types import Float
from medsyn2.vocabulary import LOBES

CANDIDATES = 16000
"""Points of the box around the chest that are tried as targets."""
MURRAY_EXPONENT = 2.6
TWIG_MM = 0.8
"""Radius of the terminal vessels."""
BRONCHIAL_LEVELS = 4
"""Divisions of the bronchi beyond the lobar ones."""
WALL_FACTOR, WALL_MM = 1.18, 0.35
"""Outer radius of a bronchus: the inner radius times the factor, plus the constant."""

Targets = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class LungTrees:
    """Vessels and airways inside the lungs."""

    vessels: Tubes  # Arteries and veins
    lumen: Tubes  # Air of the segmental bronchi and smaller
    wall: Tubes  # The same tubes with their walls


def grow_trees(anatomy: Anatomy, vessels: GreatVessels, lesions: Lesions) -> LungTrees:
    """Grow a subject's trees into its aerated lungs."""
    rng = np.random.default_rng(anatomy.tree_seed)
    lobes = _spread_targets(anatomy, vessels, lesions, rng)
    blood: list[Tubes] = []
    bronchi: list[Tubes] = []
    for lobe, targets in lobes.items():
        side, levels = lobar_side(lobe), min(7, len(targets).bit_length() - 2)
        if levels < 2:
            continue
        bronchus = vessels.bronchus_end_mm[lobe]
        beside = (bronchus[0], bronchus[1] - 6.0, bronchus[2] + 5.0)
        arteries = _grow_tree(beside, targets[0 : 2 ** (levels + 1) : 2], levels, TWIG_MM, rng)
        root = _connect(vessels.artery_root_mm[side], beside, float(arteries[0].radius_mm.max()) + 1.0)
        away = (bronchus[0], bronchus[1] - 14.0, bronchus[2] - 9.0)
        veins = _grow_tree(away, targets[1 : 2 ** (levels + 1) : 2], levels, TWIG_MM, rng)
        vein_root = _connect(vessels.vein_root_mm[side], away, float(veins[0].radius_mm.max()) + 0.5)
        blood += [root, vein_root, *arteries, *veins]
        bronchi += _grow_bronchi(bronchus, arteries, rng)
    lumen = Tubes.concatenate(bronchi) if bronchi else _no_tubes()
    wall = Tubes(lumen.start_mm, lumen.end_mm, lumen.radius_mm * np.float32(WALL_FACTOR) + np.float32(WALL_MM))
    return LungTrees(Tubes.concatenate(blood) if blood else _no_tubes(), lumen, wall)


def _no_tubes() -> Tubes:
    return Tubes(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32))


def _connect(start: Point, end: Point, radius_mm: float) -> Tubes:
    return Tubes.along([start, end], [1.25 * radius_mm, radius_mm])


def _spread_targets(
    anatomy: Anatomy, vessels: GreatVessels, lesions: Lesions, rng: np.random.Generator
) -> dict[int, Targets]:
    """Spread points over the aerated lung of each lobe, away from its surface."""
    steps = np.array([0.8191725, 0.6710436, 0.5497005])  # powers of the inverse plastic number
    unit = (rng.random(3) + np.arange(1, CANDIDATES + 1)[:, None] * steps) % 1.0
    low, high = np.array([-150.0, -105.0, -190.0]), np.array([150.0, 110.0, 105.0])
    points = Points(*(low + unit * (high - low)).astype(np.float32).T)
    tubes_mm = tube_distance_at(points, vessels.all_solid, TUBE_MARGIN_MM)
    chest = chest_at(anatomy, points, tubes_mm, lesions.pericardial_mm)
    lung = np.maximum(chest.space, -all_fluid(anatomy, lesions.pleural, chest))
    inside = lung < -3.5
    stacked = np.stack(points, axis=1)
    return {lobe: stacked[inside & (chest.lobes == lobe)] for lobe in LOBES}


def _grow_tree(root: Point, targets: Targets, levels: int, twig_mm: float, rng: np.random.Generator) -> list[Tubes]:
    """Grow a tree from `root` to 2**levels targets; return the tubes of each level."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    groups = targets[None].astype(np.float64)
    nodes = np.asarray(root, dtype=np.float64)[None]
    radius = _radius(groups.shape[1], twig_mm)
    grown: list[Tubes] = []
    for level in range(levels):
        groups = _halve(groups, turn)
        starts = np.repeat(nodes, 2, axis=0)
        share = 1.0 if level == levels - 1 else rng.uniform(0.34, 0.52, size=(len(starts), 1))
        nodes = starts + share * (groups.mean(axis=1) - starts)
        thinner = _radius(groups.shape[1], twig_mm)
        ends = np.tile(np.array([0.9 * radius, thinner]), (len(starts), 1))
        ends *= rng.uniform(0.85, 1.15, size=(len(starts), 1))
        grown.append(Tubes(starts.astype(np.float32), nodes.astype(np.float32), ends.astype(np.float32)))
        radius = thinner
    return grown


def _radius(served: int, twig_mm: float) -> float:
    return twig_mm * served ** (1 / MURRAY_EXPONENT)


def _halve(groups: Float[np.ndarray, "g n 3"], turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "gg nn 3"]:
    """Divide each group of points into equal halves along the axis of `turn` in which it is longest."""
    turned = groups @ turn
    longest = np.argmax(turned.var(axis=1), axis=1)
    along = np.take_along_axis(turned, longest[:, None, None], axis=2)[..., 0]
    order = np.argsort(along, axis=1, kind="stable")
    ranked = np.take_along_axis(groups, order[..., None], axis=1)
    count, size, _ = groups.shape
    return ranked.reshape(count * 2, size // 2, 3)


def _grow_bronchi(root: Point, arteries: list[Tubes], rng: np.random.Generator) -> list[Tubes]:
    """Return airways along the first levels of an arterial tree."""
    offset = np.array([1.0, 4.5, -2.0], dtype=np.float32)
    grown: list[Tubes] = []
    for level, tubes in enumerate(arteries[:BRONCHIAL_LEVELS]):
        shrunk = offset * np.float32(0.72**level)
        beside = tubes.shift(shrunk, float(rng.uniform(0.72, 0.82) * 0.86**level))
        start = tubes.start_mm + offset * np.float32(0.72 ** (level - 1))
        if level == 0:
            start = np.broadcast_to(np.asarray(root, dtype=np.float32), start.shape)
        beside = Tubes(start, beside.end_mm, beside.radius_mm)
        grown.append(beside)
    return grown
