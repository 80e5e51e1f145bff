"""Did it work? A segmenter looks at a volume that was just made for what its mask asked for.

The finding is compared with the mask: overlap, volume, side and HU. Of an edited CT this is so within its region, since
the same structure elsewhere is the patient's own, and the seam of the region is measured too. A structure that no tool
finds is not judged, and the record says so: that nothing was looked for is not that nothing was found. The mask of the
lobes is their boundaries, which no segmenter returns, and of it only the lungs' volume is known.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from medsyn2.config import SegmentConfig
from medsyn2.ct.compositing import measure_seam
from medsyn2.ct.masks import volume_ml
from medsyn2.ct.planes import plot_planes
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import SegmenterError
from medsyn2.evaluation.control.effects import laterality
from medsyn2.evaluation.segmentation import find_again
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.page.figures import png_bytes
from medsyn2.pipeline import EditedCT, Synthetic
from medsyn2.segmenters import get_segmenter
from medsyn2.types import Bool
from medsyn2.vocabulary import WINDOWS_HU, Structure, structure_of

Mask = Bool[np.ndarray, "d h w"]

TOOL = "classical"
"""The segmenter that looks: the one that needs no weights."""
SOFT: frozenset[Structure] = frozenset({"heart", "pleural_effusion", "pericardial_effusion", "consolidation"})
"""Structures that are looked at in the soft-tissue window."""
_DPI = 120


@dataclass(frozen=True, eq=False)
class Made:
    """A volume that was made, as it is checked."""

    volume: CTVolume
    words: str | None  # Name of the structure that the mask shows
    mask: Mask | None  # The mask on the volume's grid
    region: Mask | None = None  # Where an edited CT may have changed
    before: CTVolume | None = None  # The CT before the edit

    @classmethod
    def of(cls, made: Synthetic | EditedCT) -> "Made":
        """Return what is checked of a generated volume or an edited CT."""
        if isinstance(made, Synthetic):
            return cls(made.volume, made.recipe.words, made.recipe.mask)
        order = made.order
        return cls(made.volume, order.recipe.words, order.mask, order.region, made.before)


def look_again(made: Made, segment: SegmentConfig) -> tuple[Mask | None, str | None]:
    """Return where a segmenter finds the structure that was asked for, or why it is not known."""
    structure = None if made.words is None else structure_of(made.words)
    if structure is None:
        return None, "no mask was given" if made.words is None else f"no tool finds {made.words!r}"
    tool = get_segmenter(TOOL, segment)
    found = find_again(made.volume, [structure], tool)[structure]
    if isinstance(found, SegmenterError):
        return None, found.message
    return found if made.region is None else found & made.region, None


def describe_check(made: Made, found: Mask | None, problem: str | None) -> dict[str, Any]:
    """Return the comparison of a volume with its mask as JSON values; None where a value is undefined."""
    record: dict[str, Any] = {"segmenter": TOOL, "words": made.words, "problem": problem}
    asked = made.mask if made.mask is None or made.region is None else made.mask & made.region
    spacing_mm = made.volume.spacing_mm
    for name, mask in (("asked", asked), ("found", found)):
        record[f"{name}_ml"] = None if mask is None else round(volume_ml(mask, spacing_mm), 3)
        record[f"{name}_side"] = None if mask is None else _number(laterality(mask))
    boundaries = made.words is not None and structure_of(made.words) == "lobes"
    record["dice"] = None if asked is None or found is None or boundaries else _number(dice(found, asked))
    record["inside_hu"] = _hu(made.volume, asked)
    if made.region is not None and made.before is not None:
        same = made.volume.hu[~made.region] == made.before.hu[~made.region]
        record["inside_before_hu"] = _hu(made.before, asked)
        record["untouched_share"] = float(same.mean()) if same.size else None
        record["seam_ratio"] = _number(measure_seam(made.volume.hu, made.region).ratio)
        record["seam_before_ratio"] = _number(measure_seam(made.before.hu, made.region).ratio)
    return record


def draw_check(made: Made, found: Mask | None, title: str) -> bytes:
    """Draw three planes with the outlines of what was asked for and found, as PNG; each says SYNTHETIC."""
    names = (("asked for", made.mask), ("found", found), ("region", made.region))
    contours = {name: mask for name, mask in names if mask is not None}
    structure = None if made.words is None else structure_of(made.words)
    window = WINDOWS_HU["soft_tissue" if structure in SOFT else "lung"]
    figure = plot_planes(made.volume.hu, made.volume.spacing_mm, contours, title, window)
    write_mark(figure)
    return png_bytes(figure, _DPI)


def write_mark(figure: Figure) -> None:
    """Write SYNTHETIC into each plane of a figure."""
    for axes in figure.axes:
        axes.text(0.02, 0.02, "SYNTHETIC", color="#ff5a5a", fontsize=8, weight="bold", transform=axes.transAxes)


def _hu(volume: CTVolume, mask: Mask | None) -> dict[str, float] | None:
    """Return the mean and the 10th and 90th percentile of the HU in a mask; None of an empty one."""
    if mask is None or not mask.any():
        return None
    values = volume.hu[mask]
    low, high = np.percentile(values, (10, 90))
    return {"mean": round(float(values.mean()), 1), "p10": round(float(low), 1), "p90": round(float(high), 1)}


def _number(value: float) -> float | None:
    return round(value, 4) if isfinite(value) else None
