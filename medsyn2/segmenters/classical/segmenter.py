"""The classical, weight-free segmenter: thresholds, morphology and where things are in a chest.

It needs nothing but the image, gives all nine structures, and is what the default configuration uses. Its
quality is measured by ``benchmarks/segmenters.py``; masks made by it are named so in every record.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.segmenters.classical.effusions import find_pericardial_effusion
from medsyn2.segmenters.classical.heart import find_heart
from medsyn2.segmenters.classical.lobes import find_lobes
from medsyn2.segmenters.classical.nodules import find_nodules
from medsyn2.segmenters.classical.opacities import find_consolidation, find_ground_glass
from medsyn2.segmenters.classical.thorax import Thorax, thorax_of
from medsyn2.types import Shaped
from medsyn2.vocabulary import LOBES, Structure

_FIND: dict[Structure, Callable[[Thorax], Shaped[np.ndarray, "d h w"]]] = {
    "lobes": find_lobes,
    "airways": lambda thorax: thorax.airways,
    "vessels": lambda thorax: thorax.vessels,
    "heart": find_heart,
    "nodules": find_nodules,
    "ground_glass": find_ground_glass,
    "consolidation": find_consolidation,
    "pleural_effusion": lambda thorax: thorax.pleural_effusion,
    "pericardial_effusion": find_pericardial_effusion,
}


class ClassicalSegmenter:
    """Finds all nine structures without weights, on an isotropic grid of ``segment.working_spacing_mm``."""

    name = "classical"

    def __init__(self, config: SegmentConfig) -> None:
        self.spacing_mm = config.working_spacing_mm

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return a label map of each structure on the working grid.

        Raises:
            InvalidVolumeError: If there are no lungs in the CT.
        """
        thorax = thorax_of(volume, self.spacing_mm)
        return {
            structure: LabelMap(
                _FIND[structure](thorax).astype(np.uint8),
                thorax.affine_mm,
                LOBES if structure == "lobes" else {1: structure},
            )
            for structure in structures
        }

    def versions(self) -> dict[str, str]:
        """Return nothing beside the stage's own code version."""
        return {}

    def sources(self, structures: Sequence[Structure], case: str) -> list[Path]:
        """Return no files: the CT alone decides the result."""
        return []

    def close(self) -> None:
        """Nothing is held."""
