"""Drawing a subject's lesions and placing them.

Places are searched on a coarse lattice of the subject's own chest. A nodule needs a point far enough from every
surface, an opacity needs a lobe that is still aerated, and the surface of a pleural effusion is the quantile of
`fluid_height` over the lattice that leaves the requested volume below it.
"""

import numpy as np

from medsyn2.errors import MaskError
from medsyn2.phantoms.anatomy import SIDES, SIGN, Anatomy, Side
from medsyn2.phantoms.central import GreatVessels, lobar_side
from medsyn2.phantoms.chest import Cloud, chest_cloud
from medsyn2.phantoms.fields import Field, Wave
from medsyn2.phantoms.lesions import (
    Demand,
    Lesions,
    Nodule,
    Opacity,
    PericardialEffusion,
    PleuralEffusion,
    all_fluid,
    fluid_height,
    nodule_distance,
    opacity_distance,
)
from medsyn2.types import Bool
from medsyn2.vocabulary import LOBES

STEP_MM = 7.0
COMPRESSING_ML = 550.0
"""An effusion of at least this volume compresses some lung."""
HEMITHORAX_SHARE = 0.9
"""Volume of a pleural space over half width times half depth times height of the chest."""
MIN_LOBE_ML = 60.0
"""A lobe smaller than this (drowned by fluid) gets no opacity."""


def draw_demands(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Demand, ...]:
    """Draw a subject's lesions: none in four of ten subjects, else one or several kinds."""
    if rng.random() < 0.4:
        return ()
    demands: list[Demand] = []
    while not demands:
        effusion, glass, solid, nodules, pericardial = rng.random(5) < (0.4, 0.32, 0.3, 0.42, 0.2)
        if effusion:
            demands += _draw_effusions(anatomy, rng)
        if glass:
            count = int(rng.integers(1, 5))
            demands += [Demand("ground_glass", None, None, float(rng.uniform(28, 80))) for _ in range(count)]
        if solid:
            count = int(rng.choice([1, 1, 2]))
            demands += [Demand("consolidation", None, None, float(rng.uniform(30, 85))) for _ in range(count)]
        if nodules:
            count = int(rng.choice([1, 1, 2, 3, 4]))
            sizes = np.clip(rng.lognormal(2.3, 0.4, size=count), 6, 28)
            demands += [Demand("nodules", None, None, float(np.round(size))) for size in sizes]
        if pericardial:
            demands.append(Demand("pericardial_effusion", None, None, float(np.round(rng.uniform(6, 20)))))
    return tuple(demands)


def _draw_effusions(anatomy: Anatomy, rng: np.random.Generator) -> list[Demand]:
    which = rng.random()
    sides: tuple[Side, ...] = SIDES if which < 0.36 else (SIDES[0],) if which < 0.7 else (SIDES[1],)
    ranges = ((0.06, 0.16), (0.2, 0.36), (0.4, 0.52))
    shares = [rng.uniform(*ranges[rng.choice(3, p=(0.35, 0.35, 0.3))]) for _ in sides]
    volumes = [share * _side_ml(anatomy, side) for share, side in zip(shares, sides, strict=True)]
    return [
        Demand("pleural_effusion", side, None, float(np.round(volume, -1)))
        for side, volume in zip(sides, volumes, strict=True)
    ]


def _side_ml(anatomy: Anatomy, side: Side) -> float:
    """Return the approximate volume of one pleural space."""
    index = SIDES.index(side)
    height = anatomy.apex_z_mm[index] - anatomy.dome_z_mm[index]
    return HEMITHORAX_SHARE * anatomy.half_width_mm * anatomy.half_depth_mm * height / 1000.0


def place_lesions(
    anatomy: Anatomy, vessels: GreatVessels, demands: tuple[Demand, ...], rng: np.random.Generator
) -> Lesions:
    """Find a place for every requested lesion; `rng` decides whatever the demands leave open.

    Raises:
        MaskError: If a lesion fits nowhere in the requested place.
    """
    if not demands:
        return Lesions()
    shells = [demand for demand in demands if demand.kind == "pericardial_effusion"]
    pericardial = PericardialEffusion(shells[0].size, float(rng.uniform(5, 18))) if shells else None
    cloud = chest_cloud(anatomy, vessels, pericardial.thickness_mm if pericardial else 0.0, STEP_MM)
    pleural = tuple(
        _place_effusion(anatomy, cloud, demand, rng) for demand in demands if demand.kind == "pleural_effusion"
    )
    room = _Room(cloud, np.maximum(cloud.chest.space, -all_fluid(anatomy, pleural, cloud.chest)))
    opacities: list[Opacity] = []
    for kind in ("consolidation", "ground_glass"):
        for demand in demands:
            if demand.kind == kind:
                opacities.append(_place_opacity(room, demand, opacities, rng))
    nodules: list[Nodule] = []
    for demand in demands:
        if demand.kind == "nodules":
            nodules.append(_place_nodule(room, demand, opacities, nodules, rng))
    return Lesions(tuple(nodules), tuple(opacities), pleural, pericardial)


class _Room:
    """The aerated lung of a cloud."""

    def __init__(self, cloud: Cloud, lung: Field) -> None:
        self.cloud, self.lung = cloud, lung
        lobes, surfaces = cloud.chest.lobes, cloud.chest.fissures
        flat = np.where((lobes == 3) | (lobes == 4), np.abs(surfaces.horizontal), np.float32(1000.0))
        self.lobe_depth = np.minimum(-lung, np.minimum(np.abs(surfaces.oblique), flat))

    def lobe_ml(self, lobe: int) -> float:
        return float(np.sum((self.cloud.chest.lobes == lobe) & (self.lung < 0))) * self.cloud.point_ml

    def candidate_lobes(self, demand: Demand) -> list[int]:
        """Return the aerated lobes that a demand allows."""
        return [
            lobe
            for lobe in LOBES
            if demand.lobe in (None, lobe)
            and demand.side in (None, lobar_side(lobe))
            and self.lobe_ml(lobe) >= MIN_LOBE_ML
        ]

    def point(self, number: int) -> tuple[float, float, float]:
        x, y, z = (float(part[number]) for part in self.cloud.body)
        return x, y, z


def _misfit_error(demand: Demand) -> MaskError:
    place = " ".join(str(part) for part in (demand.side, LOBES.get(demand.lobe or 0)) if part) or "either lung"
    return MaskError(
        f"a lesion of kind {demand.kind} and size {demand.size:g} fits nowhere in {place} of this subject",
        code="lesion-does-not-fit",
        remedy="ask for a smaller one, leave its lobe open, or take another subject.",
    )


def _place_effusion(anatomy: Anatomy, cloud: Cloud, demand: Demand, rng: np.random.Generator) -> PleuralEffusion:
    side = demand.side or SIDES[int(rng.integers(2))]
    slope, meniscus = float(rng.uniform(0.12, 0.4)), float(rng.uniform(22, 38))
    own = cloud.chest.points.x * np.float32(SIGN[side]) > 0
    heights = fluid_height(anatomy, side, slope, meniscus, cloud.chest.points.at(own))
    share = demand.size / (len(heights) * cloud.point_ml)
    if share > 0.85:
        raise _misfit_error(demand)
    thickness = float(rng.uniform(5, 12)) if demand.size >= COMPRESSING_ML else 0.0
    level = float(np.quantile(heights.astype(np.float64), 1.0 - share))
    lower = np.isin(cloud.chest.lobes[own], (2, 5))
    if not (lower & (heights < level) & (heights > level - thickness)).any():
        thickness = 0.0
    return PleuralEffusion(side, demand.size, level, slope, meniscus, thickness, float(rng.uniform(4, 16)))


def _place_opacity(room: _Room, demand: Demand, others: list[Opacity], rng: np.random.Generator) -> Opacity:
    lobes = room.candidate_lobes(demand)
    if not lobes:
        raise _misfit_error(demand)
    lobe = int(rng.choice(lobes))
    inside = (room.cloud.chest.lobes == lobe) & (room.lung < 0)
    wanted = min(0.3 * demand.size, float(np.quantile(room.lobe_depth[inside], 0.7)))
    apart = np.full(len(inside), 1000.0)
    for other in others:
        apart = np.minimum(apart, opacity_distance(other, room.cloud.body))
    deep = inside & (room.lobe_depth >= wanted)
    wide = min(0.6 * demand.size, float(np.quantile(apart[deep], 0.8)))
    number = int(rng.choice(np.flatnonzero(deep & (apart >= wide))))
    stretch = np.exp(rng.normal(0, 0.16, size=3))
    rx, ry, rz = (float(v) for v in demand.size / 2 * stretch / np.prod(stretch) ** (1 / 3))
    glass = demand.kind == "ground_glass"
    return Opacity(
        kind="ground_glass" if glass else "consolidation",
        lobe=lobe,
        centre_mm=room.point(number),
        radii_mm=(rx, ry, rz),
        waves=tuple(_ripple(rng, demand.size) for _ in range(6)),
        hu=float(rng.uniform(-620, -420) if glass else rng.uniform(18, 42)),
    )


def _ripple(rng: np.random.Generator, extent_mm: float) -> Wave:
    direction = rng.normal(size=3)
    length = rng.uniform(0.35, 1.0) * extent_mm
    kx, ky, kz = (float(k) for k in direction / np.linalg.norm(direction) * 2 * np.pi / length)
    return Wave((float(rng.uniform(0.03, 0.13)), 0.0, 0.0), (kx, ky, kz), float(rng.uniform(0, 2 * np.pi)))


def _place_nodule(
    room: _Room, demand: Demand, opacities: list[Opacity], others: list[Nodule], rng: np.random.Generator
) -> Nodule:
    lobes = room.candidate_lobes(demand)
    free = _free_space(room, demand.size, opacities, others)
    fits = np.isin(room.cloud.chest.lobes, lobes) & (room.lobe_depth > demand.size / 2 + 3.0) & free
    candidates = np.flatnonzero(fits)
    if not len(candidates):
        raise _misfit_error(demand)
    number = int(rng.choice(candidates))
    calcified = bool(rng.random() < 0.15)
    return Nodule(int(room.cloud.chest.lobes[number]), room.point(number), demand.size, calcified)


def _free_space(
    room: _Room, diameter_mm: float, opacities: list[Opacity], others: list[Nodule]
) -> Bool[np.ndarray, " n"]:
    free = np.ones(len(room.lung), dtype=bool)
    for opacity in opacities:
        free &= opacity_distance(opacity, room.cloud.body) > diameter_mm / 2 + 6.0
    for other in others:
        free &= nodule_distance(other, room.cloud.body) > diameter_mm / 2 + 8.0
    return free
