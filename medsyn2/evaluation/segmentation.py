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
    """Return where the tool finds the structure in a generated volume, on its grid.

    That is nowhere if the volume does not show the chest that the tool needs: there is no such structure in it.
    """
    found = find_again(volume, [structure], tool)[structure]
    return np.zeros(volume.shape, dtype=bool) if isinstance(found, SegmenterError) else found


def find_again(
    volume: CTVolume, structures: Sequence[Structure], tool: Segmenter
) -> dict[Structure, Bool[np.ndarray, "d h w"] | SegmenterError]:
    """Return where the tool finds each structure, on the volume's grid, or why the volume does not let it look.

    Raises:
        SegmenterError: If the tool fails on this volume as a whole.
    """
    try:
        found = tool.segment(volume, structures)
    except SegmenterError as error:
        if error.code != "no-lungs":
            raise
        return dict.fromkeys(structures, error)
    except CaseError as error:
        failure = SegmenterError(error.message, code=error.code, remedy=error.remedy)
        return dict.fromkeys(structures, failure)
    return {
        structure: one if isinstance(one, SegmenterError) else resample_mask(one, volume.grid, None, 0.5)
        for structure, one in found.items()
    }
