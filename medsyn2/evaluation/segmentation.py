"""Segmenters that look at generated volumes, as they looked at the real ones."""

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import CaseError, SegmenterError
from medsyn2.segmenters import READERS, Segmenter
from medsyn2.vocabulary import Structure

log = logging.getLogger(__name__)


def tools_again(segment: SegmentConfig, evaluate_masks: EvaluateMasksConfig) -> SegmentConfig:
    """Return the section `segment` with the tools that segment generated volumes."""
    return segment.model_copy(update={"tools": {**segment.tools, **evaluate_masks.tools}})


def tool_of(structure: Structure, segment: SegmentConfig) -> str | None:
    """Return the name of the tool that finds a structure in any volume; warn and return None if there is none."""
    tool = segment.tools.get(structure)
    if tool is None or tool in READERS:
        why = "no tool finds it" if tool is None else f"{tool} reads files"
        log.warning("%s is left out: %s; name a tool in evaluate_masks.tools", structure, why)
        return None
    return tool


def segment_again(volume: CTVolume, structure: Structure, tool: Segmenter) -> Bool[np.ndarray, "d h w"]:
    """Return where the tool finds the structure, on the volume's grid; nowhere if it finds no lungs."""
    return find_again(volume, [structure], tool)[structure]


def find_again(
    volume: CTVolume, structures: Sequence[Structure], tool: Segmenter
) -> dict[Structure, Bool[np.ndarray, "d h w"]]:
    """Return where the tool finds each structure, on the volume's grid; nowhere if it finds no lungs.

    Raises:
        SegmenterError: If the tool fails on this volume.
    """
    try:
        found = tool.segment(volume, structures)
    except CaseError as error:
        if isinstance(error, SegmenterError) and error.code != "no-lungs":
            raise
        return {structure: np.zeros(volume.shape, dtype=bool) for structure in structures}
    return {structure: resample_mask(found[structure], volume.grid, None, 0.5) for structure in structures}
