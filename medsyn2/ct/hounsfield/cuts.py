"""The ends of a HU range that a program has cut.

Preprocessing for other networks clips HU to a window, such as -1000 to 200. The values are still HU, but all that lay
beyond an end is piled up on it. A cut above loses bone, which a reader should know of. A cut below loses the lungs as
soon as most of them lies at it, and with them the use of the CT.
"""

from dataclasses import dataclass

import numpy as np

from medsyn2.ct.hounsfield.padding import Sample
from medsyn2.types import Float

AIR_END_HU = -990.0
"""Nothing is lost below: the noise of air."""
BONE_END_HU = 1000.0
"""Little is lost above: only the densest cortical bone, contrast medium and metal."""

_PILE = {"low": 0.002, "high": 0.0005}
"""Least share of the voxels inside the body at an end: the air of the trachea, and the cortex of the bones."""
_NEAR_HU = 10.0
_LUNG_END_HU = -300.0


@dataclass(frozen=True)
class Cuts:
    """Ends at which HU are piled up, where something is missing beyond."""

    low_hu: float | None
    high_hu: float | None
    is_lung_lost: bool  # Whether most of the lungs lies at the lower end

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing."""
        low = () if self.low_hu is None else (f"the HU are cut at {self.low_hu:g}: no air below it",)
        high = () if self.high_hu is None else (f"the HU are cut at {self.high_hu:g}: no bone above it",)
        return low + high


def find_cuts(sample: Sample, slope: float = 1.0, intercept: float = 0.0) -> Cuts:
    """Find the cut ends of a sample that is read as ``slope * value + intercept`` HU."""
    hu = sample.values[sample.is_interior] * np.float32(slope) + np.float32(intercept)
    if not hu.size:
        return Cuts(None, None, False)
    low, high = float(hu.min()), float(hu.max())
    at_low = int(np.count_nonzero(hu == low))
    is_low = _is_pile(hu - low, at_low, _PILE["low"]) and low > AIR_END_HU
    is_high = _is_pile(high - hu, int(np.count_nonzero(hu == high)), _PILE["high"]) and high < BONE_END_HU
    left = int(np.count_nonzero(hu < _LUNG_END_HU)) - at_low
    return Cuts(low if is_low else None, high if is_high else None, is_low and at_low > left)


def _is_pile(beyond_hu: Float[np.ndarray, " n"], at_end: int, least_share: float) -> bool:
    near = int(np.count_nonzero(beyond_hu <= _NEAR_HU)) - at_end
    return at_end >= least_share * beyond_hu.size and at_end >= near
