"""One simulated patient: anatomy, lesions, and the pose in the scanner.

A subject depends only on the cohort's seed and on its own number. Each part draws from a stream of its own, a child
of that pair, so that a new kind of lesion changes nobody's anatomy.
"""

from dataclasses import dataclass

import numpy as np

from medsyn2.ct.volume import Affine
from medsyn2.phantoms.anatomy import Anatomy, draw_anatomy
from medsyn2.phantoms.central import great_vessels
from medsyn2.phantoms.lesions import Demand, Lesions
from medsyn2.phantoms.placement import draw_demands, place_lesions

_STREAMS = ("anatomy", "demands", "lesions", "incidental", "pose", "acquisition", "noise", "report")


@dataclass(frozen=True)
class Incidental:
    """Findings that have no mask."""

    emphysema: bool  # Holes in the upper lobes
    aortic_calcification: bool  # Plaques in the wall of the aorta
    coronary_calcification: bool  # Calcium in a coronary artery
    catheter: bool  # A central venous catheter from the right subclavian vein


@dataclass(frozen=True)
class Pose:
    """Pose of the body in the scanner: rotations about x, y and z, then the position of the carina."""

    rotation_deg: tuple[float, float, float]
    carina_mm: tuple[float, float, float]

    @property
    def world_to_body(self) -> Affine:
        """Affine from world LPS in mm to the body frame."""
        body_to_world = np.eye(4)
        for axis, angle in enumerate(self.rotation_deg):
            first, second = [(1, 2), (2, 0), (0, 1)][axis]
            cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            turn = np.eye(4)
            turn[first, first] = turn[second, second] = cosine
            turn[first, second], turn[second, first] = -sine, sine
            body_to_world = turn @ body_to_world
        body_to_world[:3, 3] = self.carina_mm
        return np.linalg.inv(body_to_world)


@dataclass(frozen=True)
class Subject:
    """One simulated patient."""

    seed: int
    index: int
    anatomy: Anatomy
    lesions: Lesions
    incidental: Incidental
    pose: Pose


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """Return the random stream called `name` of one subject."""
    return np.random.default_rng(np.random.SeedSequence([seed, index, _STREAMS.index(name)]))


def draw_subject(seed: int, index: int, demands: tuple[Demand, ...] | None = None) -> Subject:
    """Draw one patient.

    Args:
        demands: The lesions to place; None draws them too.
    """
    anatomy = draw_anatomy(stream(seed, index, "anatomy"))
    if demands is None:
        demands = draw_demands(anatomy, stream(seed, index, "demands"))
    lesions = place_lesions(anatomy, great_vessels(anatomy), demands, stream(seed, index, "lesions"))
    rng = stream(seed, index, "incidental")
    emphysema, aortic, coronary, catheter = (bool(v) for v in rng.random(4) < (0.12, 0.25, 0.18, 0.1))
    return Subject(
        seed, index, anatomy, lesions, Incidental(emphysema, aortic, coronary, catheter), _draw_pose(seed, index)
    )


def _draw_pose(seed: int, index: int) -> Pose:
    rng = stream(seed, index, "pose")
    rx, ry, rz = (float(v) for v in rng.normal(0, (1.6, 1.5, 2.5)))
    x, y, z = float(rng.normal(0, 8)), float(rng.uniform(-190, -110)), float(rng.uniform(-900, 300))
    return Pose((rx, ry, rz), (x, y, z))
