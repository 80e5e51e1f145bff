"""The stage ``measure_masks``: the agreement of the masks that were found in volumes with those that were given."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from medsyn2.config import EvaluateMasksConfig
from medsyn2.ct.volume import LabelMap
from medsyn2.evaluation.case_rows import write_rows
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.masks.sizes import NUM_SHUFFLES
from medsyn2.evaluation.similarity.overlap import Overlap, overlap
from medsyn2.facts import REAL, RECONSTRUCTED, CaseFacts, FoundFacts, FoundMask, SampledVolume, found_file
from medsyn2.store.artefacts import CaseWork, Record, load_manifest, process_shard
from medsyn2.store.read_artefact import read_made_labels
from medsyn2.types import Bool
from medsyn2.vocabulary import Structure

log = logging.getLogger(__name__)


def measure_masks(
    evaluate_masks: EvaluateMasksConfig,
    *,
    register: list[Path],
    masks: list[Path],
    samples: list[Path],
    reconstructions: list[Path],
    found: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Compare the masks that were found in the volumes of some held-out cases with the given ones.

    Five comparisons make the number readable. ``requested`` is the generated volume against its own mask.
    ``shuffled`` is the same against the masks of up to four cases of other patients, the next ones of the whole cohort:
    the agreement of any two anatomies. ``ceiling`` is the real volume segmented again against the same mask: the
    segmenter's own loss on the grid. For the cases that were reconstructed, ``reconstructed_ct`` is that of the real
    volume after the tokenizer, which no generated volume can be expected to exceed, and ``reconstructed_mask`` the
    generated volume against the mask after the tokenizer, the transformer's actual input. Lobes are compared as the
    lungs they make up; no mask of lungs goes through the tokenizer. A generated volume has no rows if a tool failed
    on it or on the volumes that it is compared with. Volumes from a mask alone and from a report and the mask are
    conditions of their own, each with the comparisons of its own cases.
    """
    held_out = load_cases(register, masks=masks, samples=samples, reconstructions=reconstructions)
    requests = _requests(held_out)
    segmented = load_manifest(found, FoundFacts).records

    def measure(work: CaseWork, folder: Path) -> CaseFacts:
        record = segmented[work.case]
        write_rows(folder, _rows_of_case(record, requests[work.case], evaluate_masks.surface_tolerance_mm))
        return CaseFacts(record.facts.subject, record.facts.split)

    work = [CaseWork(case, list(_sources(record, requests[case]))) for case, record in segmented.items()]
    process_shard("measure_masks", manifest, work, measure, settings=settings, facts=CaseFacts)


@dataclass(frozen=True)
class _Request:
    """A generated volume, whose mask it was generated from, and the cases of other patients to compare with."""

    case: Case
    sample: SampledVolume
    structure: Structure
    others: tuple[Case, ...]


def _requests(cases: Sequence[Case]) -> dict[str, list[_Request]]:
    """Return the generated volumes with a mask by case, with the next cases of other patients in the cohort's order."""
    groups: dict[tuple[str, Structure], list[tuple[Case, SampledVolume]]] = defaultdict(list)
    for case in cases:
        for sample in case.samples:
            if sample.structure:
                groups[sample.condition, sample.structure].append((case, sample))
    found: dict[str, list[_Request]] = {case.name: [] for case in cases}
    for (_, structure), group in groups.items():
        for index, (case, sample) in enumerate(group):
            following = (group[(index + step) % len(group)][0] for step in range(1, len(group)))
            others = (other for other in following if other.subject != case.subject)
            found[case.name].append(_Request(case, sample, structure, tuple(islice(others, NUM_SHUFFLES))))
    return found


def _sources(record: Record[FoundFacts], requests: Iterable[_Request]) -> Iterator[object]:
    """Yield the masks that were found, and the sha256 of those that they are compared with."""
    yield record.files
    yield record.facts
    for request in requests:
        after = request.case.reconstructed
        others = [[other.name, other.region_digest(request.structure)] for other in request.others]
        given = request.case.region_digest(request.structure)
        yield [request.sample.condition, given, after.files if after else None, others]


def _rows_of_case(
    record: Record[FoundFacts], requests: Iterable[_Request], tolerance_mm: float
) -> Iterator[dict[str, object]]:
    """Yield the rows of the volumes that were segmented, and log those that could not be."""
    masks = {(one.volume, one.structure): one for one in record.facts.masks}
    of_real: dict[tuple[str, Structure], Overlap] = {}
    for request in requests:
        volumes = (request.sample.condition, REAL, RECONSTRUCTED)
        found = {volume: one for volume in volumes if (one := masks.get((volume, request.structure)))}
        problems = [one.problem for one in found.values() if one.problem]
        if problems:
            log.warning("%s of %s cannot be compared: %s", request.sample.condition, record.case, problems[0])
        elif request.sample.condition in found:
            yield from _Comparison(request, record, found, tolerance_mm, of_real).rows()


@dataclass(frozen=True)
class _Comparison:
    """A generated volume and the masks that were found in it and in the volumes that it is compared with."""

    request: _Request
    record: Record[FoundFacts]
    found: Mapping[str, FoundMask]
    tolerance_mm: float
    # Agreements of the case's real volumes, by volume and structure, which all its conditions share
    of_real: dict[tuple[str, Structure], Overlap]

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield a row for each comparison."""
        case, structure = self.request.case, self.request.structure
        given, generated = case.region(structure), self._find(self.request.sample.condition)
        yield self._row("requested", self._agreement(generated, given))
        for other in self.request.others:
            yield self._row("shuffled", self._agreement(generated, other.region(structure)), other=other.name)
        yield self._row("ceiling", self._agreement_of_real(REAL, given))
        if RECONSTRUCTED in self.found:
            yield self._row("reconstructed_ct", self._agreement_of_real(RECONSTRUCTED, given))
        if (mask := case.reconstruction_region(structure)) is not None:
            yield self._row("reconstructed_mask", self._agreement(generated, mask))

    def _find(self, volume: str) -> Bool[np.ndarray, "d h w"]:
        return read_made_labels(self.record.path(found_file(volume, self.request.structure))).binary()

    def _agreement(self, found: Bool[np.ndarray, "d h w"], mask: LabelMap) -> Overlap:
        return overlap(found, mask.binary(), mask.spacing_mm, self.tolerance_mm)

    def _agreement_of_real(self, volume: str, mask: LabelMap) -> Overlap:
        place = volume, self.request.structure
        if place not in self.of_real:
            self.of_real[place] = self._agreement(self._find(volume), mask)
        return self.of_real[place]

    def _row(self, comparison: str, agreement: Overlap, *, other: str | None = None) -> dict[str, object]:
        """Return the row of one comparison; `other` is the case of the mask where it is not the volume's."""
        case, structure, condition = self.request.case, self.request.structure, self.request.sample.condition
        names = {"structure": "lungs" if structure == "lobes" else structure, "condition": condition}
        names |= {"comparison": comparison, "case": case.name, "patient": case.subject, "other": other or case.name}
        return {**names, "segmenter": self.found[condition].tool, **asdict(agreement)}
