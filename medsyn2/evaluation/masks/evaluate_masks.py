"""The stage ``evaluate_masks``: do generated volumes show what their mask asked for?"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from tqdm import tqdm

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import CaseError, SegmenterError
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, overlap, present, summarise
from medsyn2.evaluation.statistics.bootstrap import ratio_over_patients
from medsyn2.files import write_text_atomically
from medsyn2.segmenters import READERS, Segmenter, get_segmenter
from medsyn2.store.artefacts import Manifest, load_manifest, load_manifests
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.vocabulary import STRUCTURES, Structure

log = logging.getLogger(__name__)

NUM_SHUFFLES = 4
COLUMNS = ["structure", "comparison", "case", "patient", "other", "segmenter", *VALUES, *FLAGS]
OWN = ("requested", "ceiling", "reconstructed_ct")
"""Comparisons of a case's volumes with the mask of that case."""
RATIOS = ["disagreement_ratio", "disagreement_ratio_low", "disagreement_ratio_high"]


@dataclass(frozen=True)
class Sample:
    """One generated volume, the structure its mask was of, and where the case's masks are."""

    case: str
    patient: str
    structure: Structure
    volume: Path
    masks: Manifest

    def requested(self) -> LabelMap:
        """Return the mask that was asked for; of the lobes, the lungs that they make up."""
        name = "lobe_labels" if self.structure == "lobes" else self.structure
        return read_made_labels(self.masks.path(self.case, f"{name}.nii.gz"))


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
    """Segment each generated volume again and compare what is found with the mask that was asked for.

    Five comparisons make the number readable. ``requested`` is the generated volume against its own mask.
    ``shuffled`` is the same against the masks of up to four cases of other patients: what agreement comes from
    anatomy being alike. ``ceiling`` is the real volume segmented again against the same mask: what the segmenter
    itself loses on the grid. For the cases that evaluate_tokenizer reconstructed, ``reconstructed_ct`` is that of
    the real volume after the tokenizer, which no generated volume can be expected to exceed, and
    ``reconstructed_mask`` the generated volume against the mask after the tokenizer, which is all the transformer
    was told. Lobes are compared as the lungs they make up; no mask of lungs goes through the tokenizer.

    Intervals are over the patients of the volumes; the others' masks that ``shuffled`` compares with are held fixed.
    ``disagreement_ratio`` is 1 - Dice over that of ``shuffled``, of the patients that have both, drawn together: a
    generator that ignores its mask has 1, one that follows it perfectly has 0, and the ceiling's row says what the
    segmenter leaves of that.

    Args:
        segment: Which tool found which structure for the masks.
        evaluate_masks: Structures that are compared, and tools other than the masks'.
        masks: Manifests of the stage masks.
        register: Manifests of the stage register, for the ceiling.
        samples: Manifests of the stage sample.
        reconstructions: Manifest of the stage evaluate_tokenizer.
        table: CSV of means a structure and comparison, with their intervals and the counts of empty and missed masks.
        cases: CSV with a row for each comparison made.
    """
    rows: list[dict[str, object]] = []
    real = {case: manifest for manifest in load_manifests(register) for case in manifest.usable()}
    after = load_manifest(reconstructions)
    found = list(_samples(load_manifests(masks), load_manifests(samples)))
    segment = segment.model_copy(update={"tools": {**segment.tools, **evaluate_masks.tools}})
    with ExitStack() as held:
        tools: dict[str, Segmenter] = {}
        for structure, group in _groups(found, evaluate_masks.structures).items():
            tool = segment.tools.get(structure)
            if tool is None or tool in READERS:
                why = "no tool finds it" if tool is None else f"{tool} reads files"
                log.warning("%s is left out: %s; name a tool in evaluate_masks.tools", structure, why)
                continue
            if tool not in tools:
                tools[tool] = held.enter_context(closing(get_segmenter(tool, segment)))
            compare = _Comparison(tools[tool], evaluate_masks.surface_tolerance_mm)
            rows += _rows_of(structure, group, real, after, compare)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_text_atomically(cases, frame.to_csv(index=False, float_format="%.5g"))
    means = _with_ratios(summarise(frame, ["structure", "comparison", "segmenter"]), frame)
    write_text_atomically(table, means.to_csv(index=False, float_format="%.5g"))


def _samples(masks: Iterable[Manifest], samples: Iterable[Manifest]) -> Iterable[Sample]:
    masks_of = {case: manifest for manifest in masks for case in manifest.usable()}
    for manifest in samples:
        for case, record in manifest.usable().items():
            for sample in record.facts["samples"]:
                if sample["structure"]:
                    volume = manifest.path(case, sample["file"])
                    yield Sample(case, record.facts["subject"], sample["structure"], volume, masks_of[case])


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
    """A tool that segments volumes, and how what it finds is compared with masks."""

    tool: Segmenter
    tolerance_mm: float

    def segmented(self, volume: Path, structure: Structure) -> Bool[np.ndarray, "d h w"]:
        return segmented_again(read_made_ct(volume), structure, self.tool)

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
        names = {"structure": structure, "comparison": comparison, "case": sample.case}
        names |= {"patient": sample.patient, "other": other or sample.case, "segmenter": self.tool.name}
        agreement = overlap(found, mask.binary(), mask.spacing_mm, self.tolerance_mm)
        return {**names, **asdict(agreement)}


def _rows_of(
    structure: Structure,
    group: Sequence[Sample],
    real: Mapping[str, Manifest],
    after: Manifest,
    compare: _Comparison,
) -> list[dict[str, object]]:
    """Return the rows of all samples of one structure; a volume that the tool fails on has none."""
    rows: list[dict[str, object]] = []
    for index, sample in enumerate(tqdm(group, desc=f"agreement {structure}", unit="volume")):
        following = [*group[index + 1 :], *group[:index]]
        others = [other for other in following if other.patient != sample.patient]
        try:
            rows += _rows_of_sample(sample, others[:NUM_SHUFFLES], real[sample.case], after, compare)
        except SegmenterError as error:
            log.warning("%s of %s cannot be compared: %s", structure, sample.case, error)
    return rows


def _rows_of_sample(
    sample: Sample, others: Sequence[Sample], real: Manifest, after: Manifest, compare: _Comparison
) -> list[dict[str, object]]:
    requested = sample.requested()
    generated = compare.segmented(sample.volume, sample.structure)
    rows = [compare.row(sample, "requested", generated, requested)]
    rows += [
        compare.row(sample, "shuffled", generated, other.requested(), other=other.case) for other in others
    ]
    again = compare.segmented(real.path(sample.case, "ct.nii.gz"), sample.structure)
    rows.append(compare.row(sample, "ceiling", again, requested))
    if sample.case in after.usable():
        decoded = compare.segmented(after.path(sample.case, "ct.nii.gz"), sample.structure)
        rows.append(compare.row(sample, "reconstructed_ct", decoded, requested))
        mask = after.path(sample.case, f"{sample.structure}.nii.gz")
        if sample.structure != "lobes" and mask.exists():
            rows.append(compare.row(sample, "reconstructed_mask", generated, read_made_labels(mask)))
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
