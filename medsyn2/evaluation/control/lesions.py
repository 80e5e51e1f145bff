"""Lesions that a mask made: the parts where a volume is denser with the mask than with an empty one.

Both volumes start from the same noise, so that they differ by the mask alone, and no segmenter's errors enter. A
*lesion* is a connected part of the mask (26 neighbours). It is *made* if at least half of it is denser by a given
number of HU than with the empty mask. Its size is the diameter of a sphere of its volume. Density that appears anywhere
makes some lesions by chance: the rate of the mirrored lesions, on the other side of the body, is the level to read the
rate against.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Num
from scipy import ndimage

from medsyn2.ct.volume import Spacing

MADE_SHARE = 0.5


@dataclass(frozen=True)
class Lesion:
    """One part of a mask and its effect."""

    diameter_mm: float  # Of a sphere of the same volume
    denser_hu: float  # Mean difference inside
    made: bool  # Whether half of it is denser by the requested HU


def lesions(
    difference_hu: Num[np.ndarray, "d h w"], mask: Bool[np.ndarray, "d h w"], spacing_mm: Spacing, denser_hu: float
) -> list[Lesion]:
    """Measure the connected parts of a mask, in the order of their first voxel.

    Args:
        difference_hu: The volume made with the mask, minus that made with an empty one.
    """
    labels, num = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    parts = range(1, num + 1)
    volumes_mm3 = np.bincount(labels.ravel(), minlength=num + 1)[1:] * float(np.prod(spacing_mm))
    if not num:
        return []
    means = np.atleast_1d(ndimage.mean(difference_hu, labels, parts))
    shares = np.atleast_1d(ndimage.mean(difference_hu >= denser_hu, labels, parts))
    return [
        Lesion(float((6 * volume / np.pi) ** (1 / 3)), float(mean), bool(share >= MADE_SHARE))
        for volume, mean, share in zip(volumes_mm3, means, shares, strict=True)
    ]


def size_class(diameter_mm: float, bounds_mm: Sequence[float]) -> str:
    """Return the interval of ascending bounds around a diameter, in words."""
    place = int(np.searchsorted(bounds_mm, diameter_mm, side="right"))
    low, high = (0.0, *bounds_mm)[place], (*bounds_mm, None)[place]
    return f"{low:g} mm and more" if high is None else f"{low:g} to {high:g} mm"
