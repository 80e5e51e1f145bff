"""The stage ``evaluate_masks``: do generated volumes follow their masks?"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from tqdm import tqdm

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.evaluation.features.extraction import VolumeFile
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.segmentation import segment_again, tool_of, tools_again
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, overlap, present, summarise
from medsyn2.evaluation.statistics.bootstrap import ratio_over_patients
from medsyn2.files import write_table
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.vocabulary import STRUCTURES, Structure

log = logging.getLogger(__name__)

NUM_SHUFFLES = 4
COLUMNS = ["structure", "comparison", "case", "patient", "other", "segmenter", *VALUES, *FLAGS]
OWN = ("requested", "ceiling", "reconstructed_ct")
"""Comparisons of a case's volumes with the mask of that case."""
RATIOS = ["disagreement_ratio", "disagreement_ratio_low", "disagreement_ratio_high"]


@dataclass(frozen=True)
class Sample:
    """One generated volume, the structure its mask was of, and its case."""

    case: Case
    structure: Structure
    volume: VolumeFile


def evaluate_masks(
    segment: SegmentConfig,
    evaluate_masks: EvaluateMasksConfig,
    *,
    masks: list[Path],
    register: list[Path],
    samples: list[Path],
    reconstructions: Path,
    table: Path,
    cases: Path,
) -> None:
    """Segment each generated volume again and compare the finding with the requested mask.

    Five comparisons make the number readable. ``requested`` is the generated volume against its own mask.
    ``shuffled`` is the same against the masks of up to four cases of other patients: the agreement of any two
    anatomies. ``ceiling`` is the real volume segmented again against the same mask: the segmenter's own loss on the
    grid. For the cases that evaluate_tokenizer reconstructed, ``reconstructed_ct`` is that of the real volume after the
    tokenizer, which no generated volume can be expected to exceed, and ``reconstructed_mask`` the generated volume
    against the mask after the tokenizer, the transformer's actual input. Lobes are compared as the lungs they make up;
    no mask of lungs goes through the tokenizer.

    Intervals are over the patients of the volumes; the others' masks that ``shuffled`` compares with are held fixed.
    ``disagreement_ratio`` is 1 - Dice over that of ``shuffled``, of the patients that have both, drawn together: it is
    1 for a generator that ignores its mask, 0 for one that follows it perfectly, and the ceiling's row is the
    segmenter's share.
    """
    rows: list[dict[str, object]] = []
    found = [
        Sample(case, sample.structure, volume)
        for case in load_cases(register, masks=masks, samples=samples, reconstructions=[reconstructions])
        for sample, volume in case.samples.items()
        if sample.structure
    ]
    segment = tools_again(segment, evaluate_masks)
    with ExitStack() as held:
        tools: dict[str, Segmenter] = {}
        for structure, group in _groups(found, evaluate_masks.structures).items():
            tool = tool_of(structure, segment)
            if tool is None:
                continue
            if tool not in tools:
                tools[tool] = held.enter_context(closing(get_segmenter(tool, segment)))
            compare = _Comparison(tools[tool], evaluate_masks.surface_tolerance_mm)
            rows += _rows_of(structure, group, compare)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_table(cases, frame)
    means = _with_ratios(summarise(frame, ["structure", "comparison", "segmenter"]), frame)
    write_table(table, means)


def _with_ratios(means: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    disagreement = {
        key: 1 - rows.set_index("patient")["dice"].astype(float)
        for key, rows in present(cases).groupby(["structure", "comparison"])
    }
    ratios = [
        ratio_over_patients(disagreement[structure, comparison], disagreement[structure, "shuffled"])
        if comparison in OWN and {(structure, comparison), (structure, "shuffled")} <= disagreement.keys()
        else (nan, nan, nan)
        for structure, comparison in zip(means["structure"], means["comparison"], strict=True)
    ]
    return means.join(pd.DataFrame(ratios, columns=RATIOS, index=means.index))


def _groups(samples: Sequence[Sample], asked: Sequence[Structure] | None) -> dict[Structure, list[Sample]]:
    """Return the samples of each structure that is asked for and has some; of each that has some, if none is named."""
    groups: dict[Structure, list[Sample]] = {}
    for structure in STRUCTURES if asked is None else asked:
        if group := [sample for sample in samples if sample.structure == structure]:
            groups[structure] = group
        elif asked is not None:
            log.warning(
                "%s is left out: no volume was generated from a mask of it; add it to sample.structures, or take it "
                "from evaluate_masks.structures",
                structure,
            )
    return groups


@dataclass(frozen=True)
class _Comparison:
    """A segmenter, and the comparison of its findings with masks."""

    tool: Segmenter
    tolerance_mm: float

    def segment(self, volume: VolumeFile, structure: Structure) -> Bool[np.ndarray, "d h w"]:
        return segment_again(read_made_ct(volume.path), structure, self.tool)

    def row(
        self,
        sample: Sample,
        comparison: str,
        found: Bool[np.ndarray, "d h w"],
        mask: LabelMap,
        *,
        other: str | None = None,
    ) -> dict[str, object]:
        """Return the row of one comparison; `other` is the case of the mask where it is not the sample's."""
        structure = "lungs" if sample.structure == "lobes" else sample.structure
        names = {"structure": structure, "comparison": comparison, "case": sample.case.name}
        names |= {"patient": sample.case.subject, "other": other or sample.case.name, "segmenter": self.tool.name}
        agreement = overlap(found, mask.binary(), mask.spacing_mm, self.tolerance_mm)
        return {**names, **asdict(agreement)}


def _rows_of(structure: Structure, group: Sequence[Sample], compare: _Comparison) -> list[dict[str, object]]:
    """Return the rows of all samples of one structure; a volume that the tool fails on has none."""
    rows: list[dict[str, object]] = []
    for index, sample in enumerate(tqdm(group, desc=f"agreement {structure}", unit="volume")):
        following = [*group[index + 1 :], *group[:index]]
        others = [other for other in following if other.case.subject != sample.case.subject]
        try:
            rows += _rows_of_sample(sample, others[:NUM_SHUFFLES], compare)
        except SegmenterError as error:
            log.warning("%s of %s cannot be compared: %s", structure, sample.case.name, error)
    return rows


def _rows_of_sample(sample: Sample, others: Sequence[Sample], compare: _Comparison) -> list[dict[str, object]]:
    case, structure = sample.case, sample.structure
    requested = case.region(structure)
    generated = compare.segment(sample.volume, structure)
    rows = [compare.row(sample, "requested", generated, requested)]
    rows += [
        compare.row(sample, "shuffled", generated, other.case.region(structure), other=other.case.name)
        for other in others
    ]
    rows.append(compare.row(sample, "ceiling", compare.segment(case.volume, structure), requested))
    if case.reconstruction:
        decoded = compare.segment(case.reconstruction, structure)
        rows.append(compare.row(sample, "reconstructed_ct", decoded, requested))
    if (mask := case.reconstruction_region(structure)) is not None:
        rows.append(compare.row(sample, "reconstructed_mask", generated, mask))
    return rows
