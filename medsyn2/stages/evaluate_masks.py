"""The stage ``evaluate_masks``: do generated volumes show what their mask asked for?"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from tqdm import tqdm

from medsyn2.cohort.artefacts import Manifest, load_manifests
from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.nifti import read_ct, read_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import CaseError, SegmenterError
from medsyn2.files import write_text_atomically
from medsyn2.metrics.overlap import FLAGS, VALUES, overlap, summarise
from medsyn2.segmenters import READERS, Segmenter, get_segmenter
from medsyn2.vocabulary import Structure

log = logging.getLogger(__name__)

NUM_SHUFFLES = 4
COLUMNS = ["structure", "comparison", "case", "other", "segmenter", *VALUES, *FLAGS]


@dataclass(frozen=True)
class Sample:
    """One generated volume, the structure its mask was of, and where the case's masks are."""

    case: str
    structure: Structure
    volume: Path
    masks: Manifest

    def requested(self) -> LabelMap:
        """Return the mask that was asked for; of the lobes, the lungs that they make up."""
        name = "lobe_labels" if self.structure == "lobes" else self.structure
        return read_labels(self.masks.path(self.case, f"{name}.nii.gz"))


def evaluate_masks(
    segment: SegmentConfig,
    evaluate_masks: EvaluateMasksConfig,
    *,
    masks: list[Path],
    register: list[Path],
    samples: list[Path],
    table: Path,
    cases: Path,
) -> None:
    """Segment each generated volume again and compare what is found with the mask that was asked for.

    Three comparisons make the number readable. ``requested`` is the generated volume against its own mask.
    ``shuffled`` is the same against the masks of up to four other cases: what agreement comes from anatomy
    being alike. ``ceiling`` is the real volume segmented again against the same mask: what the segmenter
    itself loses on the grid. Lobes are compared as the lungs they make up.

    Args:
        segment: Which tool found which structure for the masks.
        evaluate_masks: Structures that are compared, and tools other than the masks'.
        masks: Manifests of the stage masks.
        register: Manifests of the stage register, for the ceiling.
        samples: Manifests of the stage sample.
        table: CSV of means a structure and comparison, with the counts of empty and missed masks.
        cases: CSV with a row for each comparison made.
    """
    rows: list[dict[str, object]] = []
    real = {case: manifest for manifest in load_manifests(register) for case in manifest.usable()}
    found = list(_samples(load_manifests(masks), load_manifests(samples)))
    segment = segment.model_copy(update={"tools": {**segment.tools, **evaluate_masks.tools}})
    with ExitStack() as held:
        tools: dict[str, Segmenter] = {}
        for structure in evaluate_masks.structures:
            group = [sample for sample in found if sample.structure == structure]
            tool = segment.tools.get(structure) if group else None
            if tool in READERS:
                log.warning(
                    "%s is left out: %s reads files; name another in evaluate_masks.tools", structure, tool
                )
            elif tool is not None:
                if tool not in tools:
                    tools[tool] = held.enter_context(closing(get_segmenter(tool, segment)))
                rows += _rows_of(structure, group, real, tools[tool], evaluate_masks.surface_tolerance_mm)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_text_atomically(cases, frame.to_csv(index=False, float_format="%.5g"))
    means = summarise(frame, ["structure", "comparison", "segmenter"])
    write_text_atomically(table, means.to_csv(index=False, float_format="%.5g"))


def _samples(masks: Iterable[Manifest], samples: Iterable[Manifest]) -> Iterable[Sample]:
    masks_of = {case: manifest for manifest in masks for case in manifest.usable()}
    for manifest in samples:
        for case, record in manifest.usable().items():
            for sample in record.facts["samples"]:
                if sample["structure"]:
                    yield Sample(
                        case, sample["structure"], manifest.path(case, sample["file"]), masks_of[case]
                    )


def _rows_of(
    structure: Structure,
    group: Sequence[Sample],
    real: Mapping[str, Manifest],
    tool: Segmenter,
    tolerance_mm: float,
) -> list[dict[str, object]]:
    """Return the rows of all samples of one structure; a volume that the tool fails on has none."""
    rows: list[dict[str, object]] = []
    for index, sample in enumerate(tqdm(group, desc=f"agreement {structure}", unit="volume")):
        others = [
            group[(index + shift) % len(group)] for shift in range(1, min(NUM_SHUFFLES + 1, len(group)))
        ]
        try:
            generated = segmented_again(read_ct(sample.volume), structure, tool)
            reference = read_ct(real[sample.case].path(sample.case, "ct.nii.gz"))
            again = segmented_again(reference, structure, tool)
        except SegmenterError as error:
            log.warning("%s of %s cannot be compared: %s", structure, sample.case, error)
            continue
        rows += _rows(sample, [sample], "requested", generated, tool.name, tolerance_mm)
        rows += _rows(sample, others, "shuffled", generated, tool.name, tolerance_mm)
        rows += _rows(sample, [sample], "ceiling", again, tool.name, tolerance_mm)
    return rows


def segmented_again(volume: CTVolume, structure: Structure, tool: Segmenter) -> Bool[np.ndarray, "d h w"]:
    """Return where the tool finds the structure, on the volume's grid; nowhere if it finds no lungs."""
    try:
        found = tool.segment(volume, [structure])[structure]
    except CaseError as error:
        if isinstance(error, SegmenterError) and error.code != "no-lungs":
            raise
        return np.zeros(volume.shape, dtype=bool)
    return resample_mask(found, volume.grid, None, 0.5)


def _rows(
    sample: Sample,
    masks_of: Sequence[Sample],
    comparison: str,
    found: Bool[np.ndarray, "d h w"],
    tool: str,
    tolerance_mm: float,
) -> list[dict[str, object]]:
    rows = []
    for other in masks_of:
        mask = other.requested()
        facts = {
            "structure": "lungs" if sample.structure == "lobes" else sample.structure,
            "comparison": comparison,
        }
        agreement = overlap(found, mask.binary(), mask.spacing_mm, tolerance_mm)
        names = {"case": sample.case, "other": other.case, "segmenter": tool}
        rows.append({**facts, **names, **asdict(agreement)})
    return rows
