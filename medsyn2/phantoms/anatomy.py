"""The parameters of one thorax, drawn once and painted on any grid.

Lengths are in mm, in the body frame (LPS, origin at the carina). Pairs are (right, left). The ranges are those of
adults. The features that no affine registration can undo vary most: the height of each half of the diaphragm, the
width of each lung, the size of the heart, the fissures, and a smooth bend of the whole.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn2.phantoms.fields import Wave

Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")
SIGN: dict[Side, float] = {"right": -1.0, "left": 1.0}
"""Sign of x on each side of the midline."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class Anatomy:
    """One thorax without lesions."""

    female: bool  # Whether the subject has breasts
    half_width_mm: float  # Inner half width of the rib cage at its widest
    half_depth_mm: float  # Inner half depth, front to back
    side_factor: Pair  # Width of each side relative to `half_width_mm`
    squareness: float  # Departure of the rib cage's outline from an ellipse
    shoulder_z_mm: float  # Level at which the rib cage narrows to the neck
    shoulder_soft_mm: float  # Height over which it narrows
    flare: float  # Relative widening of the rib cage over 100 mm downwards
    kyphosis_mm: float  # Forward shift of the chest 100 mm above or below its rearmost level
    apex_z_mm: Pair  # Height of each lung's apex
    dome_z_mm: Pair  # Height of each half of the diaphragm
    sulcus_mm: Pair  # Fall of the diaphragm from the dome to the chest wall
    dome_tilt: float  # Fall of the diaphragm per mm towards the back
    dome_y_mm: float  # y at which the dome is highest
    oblique_z_mm: Pair  # Height of each oblique fissure at y = 0
    oblique_slope: Pair  # Its rise towards the back
    oblique_curve_mm: Pair  # Its sag at the chest wall
    horizontal_z_mm: float  # Height of the right lung's horizontal fissure
    cardiothoracic_ratio: float  # Heart width over inner chest width
    heart_turn_deg: float  # Direction of the heart's long axis below the horizontal
    heart_shift_mm: float  # Shift of the heart to the left
    aorta_radius_mm: float  # Radius of the ascending aorta
    trachea_radius_mm: float  # Inner radius of the trachea
    vertebra_mm: float  # Distance between two vertebrae, and between two ribs
    rib_drop_mm: float  # Descent of a rib from the spine to its front end
    fat_mm: float  # Typical thickness of the subcutaneous fat
    muscle_factor: float  # Thickness of the chest wall's muscles relative to the average
    breast_mm: float  # Height of the breasts
    lung_hu: float  # HU of the aerated lung in the middle
    lung_gradient_hu: float  # Increase of these HU per 100 mm towards the back
    stomach_gas: bool  # Whether the stomach holds a gas bubble
    waves: tuple[Wave, ...]  # The bend from the body frame to the anatomical frame
    tree_seed: int  # Seed of the vessels and bronchi


CARDIOMEGALY_RATIO = 0.5
"""A heart wider than this share of the chest is enlarged."""


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one thorax."""
    female = bool(rng.random() < 0.5)
    size = rng.normal(0.95 if female else 1.03, 0.045)
    half_width = float(np.clip(rng.normal(133, 6) * size, 114, 152))
    asymmetry = float(rng.uniform(-0.05, 0.05))
    dome_right = float(rng.uniform(-120, -80))
    dome_left = float(np.clip(dome_right - rng.uniform(-8, 22) + 34 * (rng.random() < 0.1), -132, -68))
    enlarged = rng.random() < 0.2
    apex = float(rng.uniform(84, 102))
    return Anatomy(
        female=female,
        half_width_mm=half_width,
        half_depth_mm=float(np.clip(rng.normal(95, 7) * size, 80, 114)),
        side_factor=(1 + asymmetry, 1 - asymmetry),
        squareness=float(rng.uniform(0.03, 0.09)),
        shoulder_z_mm=float(rng.uniform(46, 62)),
        shoulder_soft_mm=float(rng.uniform(46, 62)),
        flare=float(rng.uniform(-0.03, 0.07)),
        kyphosis_mm=float(rng.uniform(0, 5)),
        apex_z_mm=(apex, apex + float(rng.uniform(-7, 7))),
        dome_z_mm=(dome_right, dome_left),
        sulcus_mm=_pair(rng, 48, 78),
        dome_tilt=float(rng.uniform(0.05, 0.3)),
        dome_y_mm=float(rng.uniform(-22, 8)),
        oblique_z_mm=_pair(rng, -48, -6),
        oblique_slope=_pair(rng, 0.7, 1.15),
        oblique_curve_mm=_pair(rng, -14, 14),
        horizontal_z_mm=float(rng.uniform(-32, 6)),
        cardiothoracic_ratio=float(rng.uniform(0.53, 0.59) if enlarged else rng.uniform(0.41, 0.48)),
        heart_turn_deg=float(rng.uniform(22, 48)),
        heart_shift_mm=float(rng.uniform(-6, 6)),
        aorta_radius_mm=float(rng.uniform(13.5, 17.5)),
        trachea_radius_mm=float(rng.uniform(7.5, 9) if female else rng.uniform(8.5, 10.5)),
        vertebra_mm=float(rng.uniform(21.5, 24.5) * np.clip(size, 0.93, 1.07)),
        rib_drop_mm=float(rng.uniform(84, 116)),
        fat_mm=float(np.clip(rng.lognormal(2.65, 0.4), 6, 34)),
        muscle_factor=float(rng.uniform(0.75, 0.95) if female else rng.uniform(0.9, 1.25)),
        breast_mm=float(rng.uniform(14, 42)) if female else 0.0,
        lung_hu=float(rng.uniform(-875, -825)),
        lung_gradient_hu=float(rng.uniform(25, 55)),
        stomach_gas=bool(rng.random() < 0.75),
        waves=tuple(_draw_wave(rng) for _ in range(4)),
        tree_seed=int(rng.integers(2**31)),
    )


def _pair(rng: np.random.Generator, low: float, high: float) -> Pair:
    return float(rng.uniform(low, high)), float(rng.uniform(low, high))


def _draw_wave(rng: np.random.Generator) -> Wave:
    length = rng.uniform(170, 320)
    direction = rng.normal(size=3)
    vector = direction / np.linalg.norm(direction) * 2 * np.pi / length
    amplitude = rng.normal(size=3) * np.array([1.0, 0.8, 1.0])
    amplitude *= rng.uniform(2.0, 5.0) / np.linalg.norm(amplitude)
    ax, ay, az = (float(value) for value in amplitude)
    kx, ky, kz = (float(value) for value in vector)
    return Wave((ax, ay, az), (kx, ky, kz), float(rng.uniform(0, 2 * np.pi)))
