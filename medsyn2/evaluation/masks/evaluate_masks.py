"""The stage ``evaluate_masks``: do generated volumes follow their masks?"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
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
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, Overlap, overlap, present, summarise
from medsyn2.evaluation.statistics.bootstrap import ratio_over_patients
from medsyn2.files import write_table
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.vocabulary import CONDITIONS, STRUCTURES, Structure

log = logging.getLogger(__name__)

NUM_SHUFFLES = 4
COLUMNS = ["structure", "condition", "comparison", "case", "patient", "other", "segmenter", *VALUES, *FLAGS]
OWN = ("requested", "ceiling", "reconstructed_ct")
"""Comparisons of a case's volumes with the mask of that case."""
RATIOS = ["disagreement_ratio", "disagreement_ratio_low", "disagreement_ratio_high"]


@dataclass(frozen=True)
class Sample:
    """One generated volume, its condition, the structure its mask was of, and its case."""

    case: Case
    condition: str
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

    Volumes from a mask alone and from a report and the mask are conditions of their own, each with the comparisons of
    its own cases; a real volume is segmented once for all of them.

    Intervals are over the patients of the volumes; the others' masks that ``shuffled`` compares with are held fixed.
    ``disagreement_ratio`` is 1 - Dice over that of ``shuffled``, of the patients that have both, drawn together: it is
    1 for a generator that ignores its mask, 0 for one that follows it perfectly, and the ceiling's row is the
    segmenter's share.
    """
    rows: list[dict[str, object]] = []
    found = [
        Sample(case, sample.condition, sample.structure, volume)
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
            for condition in sorted({sample.condition for sample in group}, key=CONDITIONS.index):
                rows += _rows_of([sample for sample in group if sample.condition == condition], compare)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_table(cases, frame)
    means = _with_ratios(summarise(frame, ["structure", "condition", "comparison", "segmenter"]), frame)
    write_table(table, means)


def _with_ratios(means: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    disagreement = {
        key: 1 - rows.set_index("patient")["dice"].astype(float)
        for key, rows in present(cases).groupby(["structure", "condition", "comparison"])
    }
    ratios = []
    for structure, condition, comparison in means[["structure", "condition", "comparison"]].itertuples(index=False):
        own, others = (disagreement.get((structure, condition, one)) for one in (comparison, "shuffled"))
        if comparison in OWN and own is not None and others is not None:
            ratios.append(ratio_over_patients(own, others))
        else:
            ratios.append((nan, nan, nan))
    return means.join(pd.DataFrame(ratios, columns=RATIOS, index=means.index))


def _groups(samples: Sequence[Sample], asked: Sequence[Structure] | None) -> dict[Structure, list[Sample]]:
    """Return the samples of each structure that is asked for and has some; of each that has some, if none is named."""
    groups: dict[Structure, list[Sample]] = {}
    for structure in STRUCTURES if asked is None else asked:
        if group := [sample for sample in samples if sample.structure == structure]:
            groups[structure] = group
        elif asked is not None:
            log.warning(
                "%s is left out: no volume was generated from a mask of it; add it to sample.structures or "
                "sample.joint, or take it from evaluate_masks.structures",
                structure,
            )
    return groups


@dataclass(frozen=True)
class _Comparison:
    """A segmenter, and the comparison of its findings in the volumes of one structure with masks."""

    tool: Segmenter
    tolerance_mm: float
    # Agreements of the real volumes by case, which all conditions of the case share
    of_real: dict[str, dict[str, Overlap]] = field(default_factory=dict)

    def segment(self, volume: VolumeFile, structure: Structure) -> Bool[np.ndarray, "d h w"]:
        return segment_again(read_made_ct(volume.path), structure, self.tool)

    def agreement(self, found: Bool[np.ndarray, "d h w"], mask: LabelMap) -> Overlap:
        return overlap(found, mask.binary(), mask.spacing_mm, self.tolerance_mm)

    def real(self, case: Case, structure: Structure) -> dict[str, Overlap]:
        """Return the agreement of the real volume with the mask, before and after the tokenizer, by comparison."""
        if case.name not in self.of_real:
            requested = case.region(structure)
            volumes = {"ceiling": case.volume, "reconstructed_ct": case.reconstruction}
            self.of_real[case.name] = {
                comparison: self.agreement(self.segment(volume, structure), requested)
                for comparison, volume in volumes.items()
                if volume is not None
            }
        return self.of_real[case.name]

    def row(
        self, sample: Sample, comparison: str, agreement: Overlap, *, other: str | None = None
    ) -> dict[str, object]:
        """Return the row of one comparison; `other` is the case of the mask where it is not the sample's."""
        structure = "lungs" if sample.structure == "lobes" else sample.structure
        names = {"structure": structure, "condition": sample.condition, "comparison": comparison}
        names |= {"case": sample.case.name, "patient": sample.case.subject, "other": other or sample.case.name}
        return {**names, "segmenter": self.tool.name, **asdict(agreement)}


def _rows_of(group: Sequence[Sample], compare: _Comparison) -> list[dict[str, object]]:
    """Return the rows of all samples of one structure and condition; a volume that the tool fails on has none."""
    rows: list[dict[str, object]] = []
    for index, sample in enumerate(tqdm(group, desc=f"agreement {group[0].condition}", unit="volume")):
        following = [*group[index + 1 :], *group[:index]]
        others = [other for other in following if other.case.subject != sample.case.subject]
        try:
            rows += _rows_of_sample(sample, others[:NUM_SHUFFLES], compare)
        except SegmenterError as error:
            log.warning("%s of %s cannot be compared: %s", sample.condition, sample.case.name, error)
    return rows


def _rows_of_sample(sample: Sample, others: Sequence[Sample], compare: _Comparison) -> list[dict[str, object]]:
    case, structure = sample.case, sample.structure
    generated = compare.segment(sample.volume, structure)
    rows = [compare.row(sample, "requested", compare.agreement(generated, case.region(structure)))]
    rows += [
        compare.row(
            sample, "shuffled", compare.agreement(generated, other.case.region(structure)), other=other.case.name
        )
        for other in others
    ]
    rows += [compare.row(sample, name, agreement) for name, agreement in compare.real(case, structure).items()]
    if (mask := case.reconstruction_region(structure)) is not None:
        rows.append(compare.row(sample, "reconstructed_mask", compare.agreement(generated, mask)))
    return rows
