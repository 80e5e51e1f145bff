"""The five abnormalities of the classical segmenter, under one roof."""

from medsyn2.segmenters.effusions import find_pericardial_effusion, find_pleural_effusion
from medsyn2.segmenters.nodules import find_nodules
from medsyn2.segmenters.opacities import find_consolidation, find_ground_glass

__all__ = [
    "find_consolidation",
    "find_ground_glass",
    "find_nodules",
    "find_pericardial_effusion",
    "find_pleural_effusion",
]
