"""Axial slices with a mask for 2-D networks, drawn from 3-D masks.

The paper draws 416 masks "from 3D ones" and states no rule. The rule here:

    1  a volume gives at most one slice, the axial one in which the structure is largest, the lowest of equals;
    2  a volume whose largest area is below a minimum in mm^2 gives none;
    3  of the remaining volumes at most a given number takes part, drawn with a seed, in the cohort's order.

The caller chooses the patients, so that nobody's slices are on two sides of a comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Num, Shaped
from scipy import ndimage

from medsyn2.ct.volume import Spacing

_HALF = 0.5


@dataclass(frozen=True)
class LabelledSlice:
    """One axial slice and where the structure is on it."""

    name: str  # The case, or the slice's name in its set
    patient: str  # Its patient; resampling keeps a patient's slices together
    # Pixels in HU, rows from anterior to posterior, columns from the patient's right to left
    hu: Num[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "h w"]  # Where the structure is
    spacing_mm: tuple[float, float]  # Spacing (height, width)


def largest_slice(mask: Bool[np.ndarray, "d h w"], spacing_mm: Spacing, min_area_mm2: float) -> int | None:
    """Return the index of the axial slice in which a mask is largest; None if its area is below `min_area_mm2`.

    Args:
        min_area_mm2: Least area; an empty mask never gives a slice.
    """
    pixels = np.count_nonzero(mask, axis=(1, 2))
    index = int(np.argmax(pixels))
    area_mm2 = float(pixels[index]) * spacing_mm[1] * spacing_mm[2]
    return index if pixels[index] and area_mm2 >= min_area_mm2 else None


def draw_names(names: Sequence[str], at_most: int | None, seed: int) -> list[str]:
    """Draw at most `at_most` names without replacement, in their order; None takes all."""
    if at_most is None or len(names) <= at_most:
        return list(names)
    chosen = np.random.default_rng(seed).choice(len(names), at_most, replace=False)
    return [names[index] for index in np.sort(chosen)]


def resize_slice(one: LabelledSlice, size: int) -> LabelledSlice:
    """Resample a slice to `size` x `size` pixels over the same extent in mm.

    Pixels are interpolated linearly, after a Gaussian where their number falls; a pixel of the mask is set if more than
    half of it is covered.
    """
    rows, columns = one.hu.shape
    if (rows, columns) == (size, size):
        return one
    spacing = (one.spacing_mm[0] * rows / size, one.spacing_mm[1] * columns / size)
    hu = _zoom(one.hu.astype(np.float32), size)
    mask = _zoom(one.mask.astype(np.float32), size) > _HALF
    return replace(one, hu=hu, mask=mask, spacing_mm=spacing)


def _zoom(values: Num[np.ndarray, "h w"], size: int) -> Shaped[np.ndarray, "s s"]:
    shrunk = [length / size for length in values.shape]
    smooth = ndimage.gaussian_filter(values, [max(0.0, (factor - 1) / 2) for factor in shrunk], mode="nearest")
    factors = [1 / factor for factor in shrunk]
    return ndimage.zoom(smooth, factors, order=1, mode="nearest", grid_mode=True)
