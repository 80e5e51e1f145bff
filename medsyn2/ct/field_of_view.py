"""The field of view: the columns of a CT that hold more than padding.

Scanners reconstruct a circle and pad the corners of the square. Padding is known by its place: a column along the
slices' axis that is nowhere above the lowest HU lies outside the circle, while noise lifts real air. Most fields of
view end in the air around the patient, and then their padding is air like any other. One that ends within the lungs
hides the chest wall, and its padding must be taken for neither air nor tissue.
"""

import numpy as np
from scipy import ndimage

from medsyn2.types import Bool, Num

PADDING_HU = -1024
EDGE_VOXELS = 2
"""Voxels beside the padding that resampling mixed with it."""

Columns = Bool[np.ndarray, "h w"]


def find_padding(hu: Num[np.ndarray, "d h w"]) -> Columns:
    """Return the columns, in the axial plane, that hold nothing but padding."""
    # Resampling in floats may lift it by a rounding error.
    return np.all(hu < PADDING_HU + 0.5, axis=0)


def widen(columns: Columns, voxels: int) -> Columns:
    """Return the columns at most `voxels` steps from one of `columns`."""
    return ndimage.binary_dilation(columns, iterations=voxels) if columns.any() else columns
