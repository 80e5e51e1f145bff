"""The classical, weight-free segmenter: thresholds, morphology and where things are in a chest.

It needs nothing but the image, gives all nine structures, and is the default configuration's. Its
quality is measured by ``benchmarks/segmenters.py``; masks made by it are named so in every record.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from medsyn2.config import SegmentConfig
from medsyn2.ct.lungs import missing_lung
from medsyn2.ct.morphology import Mask
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.segmenters.classical.airways import find_airways
from medsyn2.segmenters.classical.cage import inside_cage
from medsyn2.segmenters.classical.effusions import find_pericardial_effusion, find_pleural_effusion
from medsyn2.segmenters.classical.heart import MIN_ML, find_heart
from medsyn2.segmenters.classical.lobes import find_lobes
from medsyn2.segmenters.classical.nodules import find_nodules
from medsyn2.segmenters.classical.opacities import find_consolidation, find_ground_glass
from medsyn2.segmenters.classical.thorax import Thorax, thorax_of
from medsyn2.segmenters.classical.vessels import find_vessels
from medsyn2.types import Shaped
from medsyn2.vocabulary import LOBES, Structure


class _Findings:
    """The structures of one thorax; those that others build on are found once."""

    def __init__(self, thorax: Thorax) -> None:
        self.thorax = thorax

    @cached_property
    def airways(self) -> Mask:
        airways = find_airways(self.thorax)
        if not airways.any():
            raise SegmenterError(
                "classical: expected a trachea above the middle of the lungs, found none, and so no airways nor the "
                "walls that vessels are told from.",
                code="trachea-not-found",
                remedy="look whether the CT shows the upper chest; a tool with trained weights may find them.",
            )
        return airways

    @cached_property
    def cage(self) -> Mask:
        return inside_cage(self.thorax)

    @cached_property
    def pleural_effusion(self) -> Mask:
        return find_pleural_effusion(self.thorax, self.cage)

    def find(self, structure: Structure) -> Shaped[np.ndarray, "d h w"]:
        """Return the mask of a structure, of the lobes their labels.

        Raises:
            SegmenterError: If the structure could not be looked for.
        """
        match structure:
            case "lobes":
                return find_lobes(self.thorax)
            case "airways":
                return self.airways
            case "vessels":
                return find_vessels(self.thorax, self.airways)
            case "heart":
                return self._heart()
            case "nodules":
                return find_nodules(self.thorax)
            case "ground_glass":
                return find_ground_glass(self.thorax)
            case "consolidation":
                return find_consolidation(self.thorax, self.cage, self.pleural_effusion)
            case "pleural_effusion":
                return self.pleural_effusion
            case "pericardial_effusion":
                return find_pericardial_effusion(self.thorax, self.cage)

    def _heart(self) -> Mask:
        heart = find_heart(self.thorax)
        if not heart.any():
            raise SegmenterError(
                f"classical: expected a heart of at least {MIN_ML:g} ml between the lungs, found none.",
                code="heart-not-found",
                remedy="look whether the CT shows the lower chest; a tool with trained weights may find the heart.",
            )
        return heart

    def refuse_one_lung(self, structure: Structure) -> None:
        """Refuse a chest of which only one lung shows: the cage and its middle are found by the borders of both."""
        missing = missing_lung(LabelMap(self.thorax.lungs, self.thorax.affine_mm))
        if missing is not None:
            raise SegmenterError(
                f"classical: expected two lungs to look for {structure}, found next to nothing of the {missing}.",
                code="one-lung",
                remedy="the side is solid, full of fluid or was removed; use a tool with trained weights for this "
                "structure, or leave it absent.",
            )


class ClassicalSegmenter:
    """Finds all nine structures without weights, on an isotropic grid of ``segment.working_spacing_mm``."""

    name = "classical"

    def __init__(self, config: SegmentConfig) -> None:
        self.spacing_mm = config.working_spacing_mm

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap | SegmenterError]:
        """Return a label map of each structure on the working grid, or why it could not be looked for."""
        findings = _Findings(thorax_of(volume, self.spacing_mm))
        return {structure: _find(findings, structure) for structure in structures}

    def versions(self) -> dict[str, str]:
        """Return nothing beside the stage's own code version."""
        return {}

    def sources(self, structures: Sequence[Structure], case: str) -> list[Path]:
        """Return no files: the CT alone decides the result."""
        return []

    def close(self) -> None:
        """Nothing is held."""


def _find(findings: _Findings, structure: Structure) -> LabelMap | SegmenterError:
    names = LOBES if structure == "lobes" else {1: structure}
    try:
        if structure != "airways":
            findings.refuse_one_lung(structure)
        return LabelMap(findings.find(structure).astype(np.uint8), findings.thorax.affine_mm, names)
    except SegmenterError as failure:
        return failure
