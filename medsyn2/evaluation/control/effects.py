"""Effects of a changed mask on a generated volume, where the mask changed and elsewhere.

*Position*: the centroid of the structure found in a volume against that of the request. If an edit moves the request
by d and the finding by e, ``followed`` is e.d / d.d: 1 if the structure moved with the mask, 0 if it stayed, whatever
the bias of both positions.

*Side*: the laterality (L - R) / (L + R) of the volumes left and right of the grid's middle plane, from -1 (all on the
patient's right) to 1 (all on the left).

*Elsewhere*: the mean absolute difference of two volumes in HU, inside the mask and outside it within the body, since
the air around a patient is alike in any two volumes.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Bool, Float, Num

from medsyn2.ct.mask_edits import sides
from medsyn2.ct.volume import Affine
from medsyn2.evaluation.similarity.volumes import inside_body, mean_absolute_error_hu

Mask = Bool[np.ndarray, "d h w"]


@dataclass(frozen=True)
class Change:
    """Mean absolute difference of two volumes, in HU."""

    inside_hu: float  # In the mask; NaN of an empty one
    outside_hu: float  # In the body of either volume, outside the mask


def change(first: Num[np.ndarray, "d h w"], second: Num[np.ndarray, "d h w"], mask: Mask) -> Change:
    """Compare two volumes inside and outside a mask."""
    body = inside_body(first) | inside_body(second)
    parts = (mask, body & ~mask)
    inside, outside = (mean_absolute_error_hu(first, second, part) if part.any() else nan for part in parts)
    return Change(inside, outside)


def centroid_mm(mask: Mask, affine_mm: Affine) -> Float[np.ndarray, " 3"]:
    """Return the centroid (x, y, z) in the world, LPS; NaN of an empty mask."""
    if not mask.any():
        return np.full(3, nan)
    index = np.array([np.average(np.arange(size), weights=count) for size, count in _profiles(mask)])
    return affine_mm[:3, :3] @ index + affine_mm[:3, 3]


def laterality(mask: Mask) -> float:
    """Return (L - R) / (L + R) about the grid's middle plane; NaN of an empty mask. The last axis runs to the left."""
    side = sides(mask)
    count = mask.sum(axis=(0, 1))
    apart = count[side != 0].sum()
    return float((side * count).sum() / apart) if apart else nan


def displacement_ratio(asked_mm: Float[np.ndarray, " 3"], went_mm: Float[np.ndarray, " 3"], least_mm: float) -> float:
    """Return the realised share of a requested displacement; NaN if the request is under `least_mm`."""
    length = float(np.linalg.norm(asked_mm))
    return float(asked_mm @ went_mm / length**2) if length >= least_mm else nan


def _profiles(mask: Mask) -> list[tuple[int, Num[np.ndarray, " n"]]]:
    axes = ((1, 2), (0, 2), (0, 1))
    return [(size, mask.sum(axis=others)) for size, others in zip(mask.shape, axes, strict=True)]
