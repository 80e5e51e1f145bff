"""Intensity: the value ranges of networks and windows.

HU are kept as int16 within the range of a 12-bit CT. Networks see them in [-1, 1], pictures in [0, 1], and masks around
zero. `ct.hounsfield` tells whether a file's values are HU, and which of them are padding.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from medsyn2.errors import IntensityError
from medsyn2.facts import HuScale

HU_RANGE = (-1024, 3071)
"""Range of a 12-bit CT; values are clipped to it."""

MASK_BACKGROUND, MASK_FOREGROUND = -0.5, 0.5
"""A mask as the tokenizer sees it."""


def to_hu(values: Num[np.ndarray, "d h w"], meaning: HuScale) -> Int[np.ndarray, "d h w"]:
    """Convert values to HU, clipped to -1024 .. 3071, as int16."""
    hu = np.empty(values.shape, np.int16)
    exact = meaning.convention == "hu" and np.issubdtype(values.dtype, np.integer)
    for source, target in zip(values, hu, strict=True):  # Slice by slice: no copy of the volume in floats.
        slab = source if exact else np.rint(source.astype(np.float64) * meaning.slope + meaning.intercept)
        target[...] = np.clip(slab, *HU_RANGE)
    return hu


def hu_to_unit(hu: Num[np.ndarray, "..."], clip_hu: tuple[float, float]) -> Float[np.ndarray, "..."]:
    """Clip HU to `clip_hu` and map them to [-1, 1], float32."""
    low, high = clip_hu
    unit = np.clip(hu, low, high).astype(np.float32)
    unit -= (low + high) / 2
    unit /= (high - low) / 2
    return unit


def mask_to_unit(inside: Bool[np.ndarray, "d h w"]) -> Float[np.ndarray, "d h w"]:
    """Return a mask as the tokenizer sees it, float32."""
    return np.where(inside, np.float32(MASK_FOREGROUND), np.float32(MASK_BACKGROUND))


def unit_to_hu(unit: Float[np.ndarray, "..."], clip_hu: tuple[float, float]) -> Int[np.ndarray, "..."]:
    """Clip to [-1, 1] and map back to whole HU, int16.

    Raises:
        IntensityError: If a value is not finite.
    """
    if not np.isfinite(unit).all():
        raise IntensityError(
            f"Expected finite values, got {np.count_nonzero(~np.isfinite(unit))} that are NaN or infinite.",
            code="unit-not-finite",
            remedy="the network that made them is broken; look at its training loss.",
        )
    low, high = clip_hu
    return np.rint(np.clip(unit, -1, 1) * ((high - low) / 2) + (low + high) / 2).astype(np.int16)


def apply_window(hu: Num[np.ndarray, "..."], window_hu: tuple[float, float]) -> Float[np.ndarray, "..."]:
    """Clip HU to a window (lower, upper) and map them to [0, 1], float32."""
    low, high = window_hu
    unit = np.clip(hu, low, high).astype(np.float32, copy=False)
    unit -= low
    unit /= high - low
    return unit
