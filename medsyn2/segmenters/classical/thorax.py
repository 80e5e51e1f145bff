"""A thorax on the classical segmenter's working grid: the CT and its lungs.

All structures of one CT are found on one isotropic grid. A structure's module has one function that takes the thorax,
and the structures it builds on, and returns a mask on its grid; ``segmenter.py`` finds each of them once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medsyn2.ct.geometry import isotropic, nearest_labels
from medsyn2.ct.lungs import segment_lungs
from medsyn2.ct.volume import Affine, CTVolume, Grid
from medsyn2.types import Bool, Num, Shaped

LEFT, RIGHT = 1, 2


@dataclass(frozen=True)
class Thorax:
    """A CT on an isotropic grid with its lungs."""

    hu: Num[np.ndarray, "d h w"]  # Voxels in HU
    lungs: Shaped[np.ndarray, "d h w"]  # 1 where the patient's left lung is, 2 where the right one is
    affine_mm: Affine  # Of the grid both lie on
    spacing_mm: float  # Of the grid, the same along each axis

    @property
    def grid(self) -> Grid:
        """Where the voxels are."""
        depth, height, width = self.hu.shape
        return Grid((depth, height, width), self.affine_mm)

    @cached_property
    def lung(self) -> Bool[np.ndarray, "d h w"]:
        """Either lung."""
        return self.lungs > 0

    def middle(self) -> tuple[float, float]:
        """Return the row and column of the middle between the outer borders of the lungs.

        These are the chest wall's even where one lung is much smaller than the other.
        """
        spans = [np.flatnonzero(self.lung.any(axis=axes)) for axes in ((0, 2), (0, 1))]
        return (spans[0][0] + spans[0][-1]) / 2, (spans[1][0] + spans[1][-1]) / 2


def thorax_of(volume: CTVolume, spacing_mm: float) -> Thorax:
    """Bring a CT to the working grid and find its lungs."""
    working = isotropic(volume, spacing_mm)
    lungs = nearest_labels(segment_lungs(working, spacing_mm), working.grid)
    return Thorax(working.hu, lungs.labels, working.affine_mm, spacing_mm)
