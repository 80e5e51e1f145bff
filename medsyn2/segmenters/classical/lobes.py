"""The five lobes, from the shape of each lung and where fissures usually run.

Fissures are thinner than a voxel of most CTs and cannot be seen without trained weights. But they run much the
same way in everybody, relative to the lung: the oblique fissure descends from high up behind to the base in
front, the horizontal fissure of the right lung leaves it forward at about the height of the hilum. So each lung
is divided by planes in its own coordinates: height from its base (0) to its apex (1), and depth from its front
(0) to its back (1), measured between quantiles so that a lung squeezed by an effusion is divided in proportion.

The boundaries are plausible, not the patient's own; the lungs that the lobes make up are exact.
"""

import numpy as np

from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, Thorax
from medsyn2.types import Float, Shaped
from medsyn2.vocabulary import LOBES

OBLIQUE = {LEFT: (0.02, 0.80), RIGHT: (0.02, 0.76)}
"""Height of the oblique fissure at the lung's front and at its back."""
HORIZONTAL = 0.52
"""Height of the right lung's horizontal fissure."""
QUANTILES = (0.01, 0.99)

_NUMBER = {name: label for label, name in LOBES.items()}


def find_lobes(thorax: Thorax) -> Shaped[np.ndarray, "d h w"]:
    """Return the lobes of both lungs with the labels of `vocabulary.LOBES`; together they are the lungs."""
    lobes = np.zeros(thorax.lungs.shape, dtype=np.uint8)
    for side, name in ((LEFT, "left"), (RIGHT, "right")):
        where = np.nonzero(thorax.lungs == side)
        if not len(where[0]):
            continue
        height, back = _relative(where[0]), _relative(where[1])
        front, rear = OBLIQUE[side]
        lower = height < front + (rear - front) * back
        upper = _NUMBER[f"{name}_upper"]
        labels = np.where(lower, _NUMBER[f"{name}_lower"], upper)
        if side == RIGHT:
            labels[~lower & (height < HORIZONTAL)] = _NUMBER["right_middle"]
        lobes[where] = labels
    return lobes


def _relative(positions: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return where positions lie between the ends of the lung, 0 to 1 but for the outermost voxels."""
    low, high = np.quantile(positions, QUANTILES)
    return (positions - low) / max(high - low, 1.0)
