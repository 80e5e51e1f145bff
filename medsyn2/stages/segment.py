"""The stage ``segment``: the label maps of each case, by the tools that the configuration names."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from medsyn2.cohort.folder import stem_of
from medsyn2.cohort.volumes import read_case
from medsyn2.config import SegmentConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.facts import CT_FILE, FailureFacts, InventoryFacts, LabelMapFacts, RegisterFacts, SegmentFacts, mask_file
from medsyn2.files import sha256_of
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.vocabulary import ANATOMIES, CT_RATE_NAME, Structure

log = logging.getLogger(__name__)


def segment(segment: SegmentConfig, *, inventory: Path, register: Path, manifest: Path, settings: str) -> None:
    """Segment every registered case of a shard with the configured tools.

    The CT is segmented as it was acquired, where the tools are at home, or on the model's grid if
    ``segment.space`` says so. Label maps are written on the tool's own grid. A structure that its tool could not find
    costs the case that structure alone; the record says why.
    """
    listed = load_manifest(inventory, InventoryFacts).records
    registered = load_manifest(register, RegisterFacts).records
    wanted: dict[str, list[Structure]] = defaultdict(list)
    for structure, name in segment.tools.items():
        if name is not None:
            wanted[name].append(structure)

    def work(case: CaseWork, folder: Path) -> SegmentFacts:
        scan = listed[case.case].facts
        moved = registered[case.case].path(CT_FILE)
        volume = read_case(scan) if segment.space == "native" else read_made_ct(moved)
        structures, failures = _segment_case(_mask_name(case.case, scan), volume, folder, tools, wanted)
        return SegmentFacts(scan.subject, scan.split, segment.space, structures, failures or None)

    with ExitStack() as held:
        tools = {name: held.enter_context(closing(get_segmenter(name, segment))) for name in wanted}
        cases = []
        for case, record in registered.items():
            scan = listed[case].facts
            named = _mask_name(case, scan)
            carried = {"subject": scan.subject, "split": scan.split}
            read = {"content": scan.content, "hu": scan.hu, "affine_repair": scan.affine_repair}
            native = segment.space == "native"
            made_from: list[object] = [{**read, **carried}] if native else [record.files, carried]
            made_from += [sha256_of(path) for name in wanted for path in tools[name].sources(wanted[name], named)]
            cases.append(CaseWork(case, made_from))
        process_shard("segment", manifest, cases, work, settings=settings, facts=SegmentFacts)


def _mask_name(case: str, scan: InventoryFacts) -> str:
    """Return the name that masks of a case have: of a CT-RATE scan, that of the reconstruction that is read."""
    name = stem_of(Path(scan.path))
    return name if CT_RATE_NAME.match(name) else case


def _segment_case(
    case: str, volume: CTVolume, folder: Path, tools: Mapping[str, Segmenter], wanted: Mapping[str, list[Structure]]
) -> tuple[dict[Structure, LabelMapFacts], dict[Structure, FailureFacts]]:
    """Write the label maps of one case, and return their tools and the names of their labels, and the failures."""
    facts: dict[Structure, LabelMapFacts] = {}
    failures: dict[Structure, FailureFacts] = {}
    for name, tool in tools.items():
        for structure, found in tool.segment(volume, wanted[name], case=case).items():
            label_map = _refuse_nothing(found, structure, name)
            if isinstance(label_map, SegmenterError):
                log.warning("%s has no mask of %s: %s", case, structure, label_map)
                failures[structure] = FailureFacts(tool.name, label_map.code, label_map.message)
                continue
            write_labels(folder / mask_file(structure), label_map)
            facts[structure] = LabelMapFacts(tool.name, dict(label_map.names), tool.versions() or None)
    return facts, failures


def _refuse_nothing(found: LabelMap | SegmenterError, structure: Structure, tool: str) -> LabelMap | SegmenterError:
    """Return an error for an empty map of a structure that everybody has."""
    if structure not in ANATOMIES or isinstance(found, SegmenterError) or found.labels.any():
        return found
    return SegmenterError(
        f"{tool}: expected {structure}, which every chest has, found nothing.",
        code="anatomy-not-found",
        remedy="look at this CT in a viewer; another tool may find the structure.",
    )
