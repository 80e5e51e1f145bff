"""Heart, great vessels, airways and oesophagus: the middle of the chest, as tubes and ellipsoids.

Positions are given for a standard thorax (half width 130 mm, half depth 90 mm, domes 98 mm below the carina) and
scaled to the subject's, so that structures which touch in one chest touch in all.
"""

from dataclasses import dataclass

import numpy as np

from medsyn2.phantoms.anatomy import Anatomy, Side
from medsyn2.phantoms.fields import Field, Points, Tubes, ellipsoid, smooth_min
from medsyn2.types import Float

Point = tuple[float, float, float]

STANDARD_HALF_WIDTH_MM, STANDARD_HALF_DEPTH_MM, STANDARD_DOME_Z_MM = 130.0, 90.0, -98.0

_ASCENDING: list[Point] = [(6, -14, -46), (-8, -26, -22), (-10, -22, 8), (-4, -12, 28), (9, 3, 36)]
_DESCENDING: list[Point] = [(9, 3, 36), (22, 19, 31), (27, 33, 16), (27, 38, -6), (24, 40, -50), (20, 40, -100)]
_ABDOMINAL: list[Point] = [(20, 40, -100), (12, 36, -150), (6, 32, -210), (4, 30, -300)]
_ARCH_BRANCHES: list[list[Point]] = [
    [(-5, -8, 34), (-16, -6, 62), (-24, 2, 100), (-26, 8, 170)],
    [(5, -2, 40), (10, 2, 70), (18, 8, 110), (22, 10, 170)],
    [(16, 8, 40), (24, 16, 72), (42, 16, 100), (74, 6, 112)],
]
_PULMONARY_TRUNK: list[Point] = [(14, -38, -44), (22, -26, -24), (24, -8, -14)]
_LEFT_PULMONARY: list[Point] = [(24, -8, -14), (36, 14, -12), (44, 26, -24)]
_RIGHT_PULMONARY: list[Point] = [(24, -8, -14), (4, -2, -20), (-20, 0, -22), (-42, 8, -27)]
_CAVA: list[list[Point]] = [
    [(-25, -20, 44), (-27, -18, 10), (-27, -12, -38)],
    [(-20, 6, -78), (-21, 14, -105), (-20, 18, -150), (-16, 20, -300)],
    [(40, -12, 72), (16, -30, 56), (-10, -30, 50), (-25, -20, 44)],
    [(-34, -8, 84), (-25, -20, 44)],
    [(40, -12, 72), (54, -6, 104), (92, -2, 114)],
    [(-34, -8, 84), (-52, -4, 106), (-90, -2, 114)],
]
_CAVA_RADII_MM: list[list[float]] = [
    [8, 8.5, 9],
    [11, 11, 11, 10],
    [6, 6, 6, 7],
    [6.5, 7.5],
    [6, 5.5, 5],
    [6.5, 5.5, 5],
]
_OESOPHAGUS: list[Point] = [(2, 32, 170), (5, 31, 60), (6, 33, 0), (4, 31, -50), (12, 22, -98), (26, 10, -118)]
_CARINA: Point = (0, 20, 0)
_TRACHEA: list[Point] = [(-1, 6, 170), (-3, 10, 80), (-4, 15, 35), _CARINA]

_MAIN_BRONCHUS: dict[Side, list[Point]] = {
    "right": [_CARINA, (-22, 22, -21)],
    "left": [_CARINA, (22, 25, -27), (38, 26, -36)],
}
_LOBAR_BRONCHI: dict[int, list[Point]] = {
    1: [(38, 26, -36), (54, 16, -24)],
    2: [(38, 26, -36), (50, 40, -60)],
    3: [(-22, 22, -21), (-46, 20, -13)],
    4: [(-22, 22, -21), (-33, 26, -46), (-50, 4, -60)],
    5: [(-33, 26, -46), (-44, 38, -66)],
}
_LOBAR_RADII_MM: dict[int, list[float]] = {
    1: [4.6, 4.0],
    2: [5.0, 4.3],
    3: [4.6, 4.0],
    4: [5.4, 5.0, 3.2],
    5: [5.0, 4.3],
}
_VENOUS_HILUM: dict[Side, list[Point]] = {
    "right": [(-12, 10, -46), (-40, 8, -42)],
    "left": [(14, 12, -46), (44, 10, -38)],
}
_LEFT_ATRIUM: Point = (0, 9, -50)


@dataclass(frozen=True)
class Scale:
    """A scaling of the standard thorax to one subject's."""

    x: float
    y: float
    z_below: float
    anatomy: Anatomy

    def __call__(self, points_mm: list[Point]) -> list[Point]:
        return [(x * self.x, y * self.y, z * (self.z_below if z < 0 else 1.0)) for x, y, z in points_mm]


def scale_of(anatomy: Anatomy) -> Scale:
    """Return a subject's scaling."""
    dome = sum(anatomy.dome_z_mm) / 2
    return Scale(
        anatomy.half_width_mm / STANDARD_HALF_WIDTH_MM,
        anatomy.half_depth_mm / STANDARD_HALF_DEPTH_MM,
        float(np.clip(dome / STANDARD_DOME_Z_MM, 0.76, 1.2)),
        anatomy,
    )


@dataclass(frozen=True)
class GreatVessels:
    """The tubes of the mediastinum."""

    arteries: Tubes  # Aorta and its branches
    aorta: Tubes  # The aorta without its branches, for plaques of its wall
    pulmonary: Tubes  # Pulmonary trunk and main arteries
    veins: Tubes  # Venae cavae, brachiocephalic and central pulmonary veins
    lumen: Tubes  # Air of the trachea and the main and lobar bronchi
    oesophagus: Tubes  # Its outer wall
    bronchus_end_mm: dict[int, Point]  # End of each lobe's bronchus
    artery_root_mm: dict[Side, Point]  # Point at which each lung's artery enters it
    vein_root_mm: dict[Side, Point]  # Point at which each lung's veins leave it
    catheter: Tubes  # Path of a central venous catheter from the right subclavian vein

    @property
    def all_solid(self) -> Tubes:
        """All tubes whose surroundings belong to the mediastinum."""
        return Tubes.concatenate([self.arteries, self.pulmonary, self.veins, self.oesophagus])


def great_vessels(anatomy: Anatomy) -> GreatVessels:
    """Lay the tubes of the mediastinum for one subject."""
    place, root = scale_of(anatomy), anatomy.aorta_radius_mm
    aorta = Tubes.concatenate(
        [
            Tubes.along(place(_ASCENDING), [root, root, 0.98 * root, 0.92 * root, 0.86 * root]),
            Tubes.along(place(_DESCENDING), [root * f for f in (0.86, 0.82, 0.8, 0.78, 0.75, 0.72)]),
            Tubes.along(place(_ABDOMINAL), [root * f for f in (0.72, 0.68, 0.62, 0.58)]),
        ]
    )
    branches = [
        Tubes.along(place(path), [radius] * len(path))
        for path, radius in zip(_ARCH_BRANCHES, (6.5, 4.5, 5.5), strict=True)
    ]
    pulmonary = [
        Tubes.along(place(_PULMONARY_TRUNK), [13, 13, 12]),
        Tubes.along(place(_LEFT_PULMONARY), [11, 10, 7.5]),
        Tubes.along(place(_RIGHT_PULMONARY), [11, 10.5, 9.5, 7]),
    ]
    veins = [Tubes.along(place(path), radii) for path, radii in zip(_CAVA, _CAVA_RADII_MM, strict=True)] + [
        Tubes.along(place(path), [7, 5.5]) for path in _VENOUS_HILUM.values()
    ]
    catheter = place([_CAVA[5][2], _CAVA[5][1], _CAVA[5][0], *_CAVA[0]])
    return GreatVessels(
        arteries=Tubes.concatenate([aorta, *branches]),
        aorta=aorta,
        pulmonary=Tubes.concatenate(pulmonary),
        veins=Tubes.concatenate(veins),
        lumen=_central_airways(place, anatomy.trachea_radius_mm),
        oesophagus=Tubes.along(place(_OESOPHAGUS), [7, 7, 7, 7.5, 8, 9]),
        bronchus_end_mm={lobe: place(path)[-1] for lobe, path in _LOBAR_BRONCHI.items()},
        artery_root_mm={"right": place(_RIGHT_PULMONARY)[-1], "left": place(_LEFT_PULMONARY)[-1]},
        vein_root_mm={side: place(path)[-1] for side, path in _VENOUS_HILUM.items()},
        catheter=Tubes.along(catheter, [1.0] * len(catheter)),
    )


def _central_airways(place: Scale, radius_mm: float) -> Tubes:
    parts = [Tubes.along(place(_TRACHEA), [radius_mm, radius_mm, radius_mm, 1.05 * radius_mm])]
    for side, path in _MAIN_BRONCHUS.items():
        radii = [0.8 * radius_mm, 0.72 * radius_mm] if side == "right" else [0.72 * radius_mm] + [0.62 * radius_mm] * 2
        parts.append(Tubes.along(place(path), radii))
    parts += [Tubes.along(place(path), _LOBAR_RADII_MM[lobe]) for lobe, path in _LOBAR_BRONCHI.items()]
    return Tubes.concatenate(parts)


@dataclass(frozen=True)
class Chamber:
    """One ellipsoid of the heart, relative to the heart's pivot in the standard thorax."""

    centre_mm: Point
    radii_mm: Point
    turned: bool


_PIVOT: Point = (4, -12, -62)
_CHAMBERS = (
    Chamber((29, -10, -12), (58, 46, 46), turned=True),
    Chamber((-24, -4, 0), (23, 33, 40), turned=False),
    Chamber((8, -22, 8), (27, 25, 32), turned=False),
    Chamber((-2, 18, 12), (33, 21, 28), turned=False),
)


def _ventricle_axes(anatomy: Anatomy) -> Float[np.ndarray, "3 3"]:
    """Return the half-axis directions of the ventricles; the long axis points left, forward and down."""
    down = np.radians(anatomy.heart_turn_deg)
    level = np.radians(38.0)
    long_axis = np.array([np.cos(down) * np.cos(level), -np.cos(down) * np.sin(level), -np.sin(down)])
    across = np.cross([0.0, 0.0, 1.0], long_axis)
    across /= np.linalg.norm(across)
    return np.stack([long_axis, across, np.cross(long_axis, across)])


def heart_factor(anatomy: Anatomy) -> float:
    """Return the factor that gives the heart its cardiothoracic ratio."""
    turn = _ventricle_axes(anatomy)
    low, high = np.inf, -np.inf
    for chamber in _CHAMBERS:
        rows = turn if chamber.turned else np.eye(3)
        reach = float(np.sqrt(np.sum((rows[:, 0] * np.asarray(chamber.radii_mm)) ** 2)))
        low, high = min(low, chamber.centre_mm[0] - reach), max(high, chamber.centre_mm[0] + reach)
    inner_width = 2 * anatomy.half_width_mm * (1 + 0.7 * anatomy.flare)
    return float(anatomy.cardiothoracic_ratio * inner_width / (high - low))


def heart_distance(anatomy: Anatomy, points: Points) -> Field:
    """Return the signed distance to the heart, before the diaphragm and the chest wall cut it."""
    factor, turn = heart_factor(anatomy), _ventricle_axes(anatomy)
    ((px, py, pz),) = scale_of(anatomy)([_PIVOT])
    distance: Field | None = None
    for chamber in _CHAMBERS:
        cx, cy, cz = (factor * part for part in chamber.centre_mm)
        rx, ry, rz = (factor * part for part in chamber.radii_mm)
        centre = (px + cx + anatomy.heart_shift_mm, py + cy, pz + cz)
        part = ellipsoid(points, centre, (rx, ry, rz), turn if chamber.turned else None)
        distance = part if distance is None else smooth_min(distance, part, 14.0)
    assert distance is not None
    return distance


def lobar_side(lobe: int) -> Side:
    """Return the side of a lobe."""
    return "left" if lobe in (1, 2) else "right"
