"""The stage ``segment_samples``: the structures of generated volumes, found by the tools that segment real ones."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.segmentation import find_again, tool_of, tools_again
from medsyn2.facts import REAL, RECONSTRUCTED, FoundFacts, FoundMask, found_file
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import STRUCTURES, Structure

log = logging.getLogger(__name__)

Tools = Mapping[Structure, Segmenter]


def segment_samples(
    segment: SegmentConfig,
    evaluate_masks: EvaluateMasksConfig,
    *,
    register: list[Path],
    samples: list[Path],
    reconstructions: list[Path],
    manifest: Path,
    settings: str,
) -> None:
    """Segment the generated volumes of some held-out cases, and their real volumes in the same way.

    A generated volume is searched for the structure whose mask it was generated from. The registered CT, and the CT
    after the tokenizer where there is one, are searched for all of these, each tool being run once a volume. A volume
    that a tool fails on is noted with the reason; a case is refused if no volume of it could be segmented. A generated
    volume that does not show the chest that a tool needs has nothing of the structure; of the real one, this is noted.
    """
    sampled = {
        case.name: case
        for case in load_cases(register, samples=samples, reconstructions=reconstructions)
        if case.sampled is not None
    }
    with ExitStack() as held:
        tools = _ready_tools(sampled.values(), tools_again(segment, evaluate_masks), evaluate_masks.structures, held)

        def work(work: CaseWork, folder: Path) -> FoundFacts:
            case = sampled[work.case]
            masks = [one for volume in _volumes(case, tools) for one in _segment_volume(*volume, tools, folder)]
            _refuse_if_nothing_was_segmented(case.name, masks)
            return FoundFacts(case.subject, case.split, tuple(masks))

        cases = [CaseWork(case.name, list(_sources(case))) for case in sampled.values()]
        process_shard("segment_samples", manifest, cases, work, settings=settings, facts=FoundFacts)


def _ready_tools(
    cases: Iterable[Case], segment: SegmentConfig, asked: Sequence[Structure] | None, held: ExitStack
) -> Tools:
    """Return the tool of each structure that masks were given of, and that is asked for."""
    given = {sample.structure for case in cases for sample in case.samples}
    wanted = [structure for structure in STRUCTURES if structure in given and structure in (asked or STRUCTURES)]
    names = {structure: name for structure in wanted if (name := tool_of(structure, segment))}
    ready = {name: held.enter_context(closing(get_segmenter(name, segment))) for name in dict.fromkeys(names.values())}
    return {structure: ready[name] for structure, name in names.items()}


def _volumes(case: Case, tools: Tools) -> Iterator[tuple[str, VolumeFile, list[Structure]]]:
    """Yield the volumes of a case, each with its name and the structures to find in it."""
    wanted: list[Structure] = []
    for sample, file in case.samples.items():
        if sample.structure and sample.structure in tools:
            yield sample.condition, file, [sample.structure]
            wanted.append(sample.structure)
    if wanted:
        yield REAL, case.volume, wanted
        if case.reconstruction:
            yield RECONSTRUCTED, case.reconstruction, wanted


def _segment_volume(
    name: str, file: VolumeFile, structures: Sequence[Structure], tools: Tools, folder: Path
) -> Iterator[FoundMask]:
    """Write the masks that the tools find in a volume, and yield an entry for each structure."""
    volume = file.read()
    by_tool: dict[str, list[Structure]] = defaultdict(list)
    for structure in dict.fromkeys(structures):
        by_tool[tools[structure].name].append(structure)
    for tool, wanted in by_tool.items():
        try:
            found = find_again(volume, wanted, tools[wanted[0]])
        except SegmenterError as error:
            if error.retry:
                raise
            log.warning("%s of %s (%s) has no mask: %s", ", ".join(wanted), file.id, name, error)
            yield from (FoundMask(name, structure, tool, error.message) for structure in wanted)
            continue
        for structure, mask in found.items():
            if isinstance(mask, SegmenterError):
                if name == REAL:
                    log.warning("%s of %s (%s) has no mask: %s", structure, file.id, name, mask)
                    yield FoundMask(name, structure, tool, mask.message)
                    continue
                mask = np.zeros(volume.shape, dtype=bool)
            place = folder / found_file(name, structure)
            place.parent.mkdir(exist_ok=True)
            write_labels(place, LabelMap(mask.astype(np.uint8), volume.affine_mm))
            yield FoundMask(name, structure, tool)


def _refuse_if_nothing_was_segmented(case: str, masks: Sequence[FoundMask]) -> None:
    if masks and all(one.problem for one in masks):
        raise SegmenterError(
            f"expected a mask of at least one volume of {case}, got none of {len(masks)}: {masks[0].problem}",
            code="samples-not-segmented",
            remedy="look at one of its volumes in results/sample; the stage's log has every tool's message.",
        )


def _sources(case: Case) -> Iterator[object]:
    """Yield the sha256 of the volumes that are segmented, and the conditions of the generated ones."""
    yield case.volume.sha256
    yield case.reconstruction.sha256 if case.reconstruction else None
    for sample, file in case.samples.items():
        yield [sample.condition, sample.structure, file.sha256]
