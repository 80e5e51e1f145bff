"""The stage ``segment``: the label maps of each case, by the tools that the configuration names."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from medsyn2.cohort.volumes import read_case
from medsyn2.config import SegmentConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import CTVolume
from medsyn2.files import sha256_of
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.store.artefacts import CaseWork, Record, load_manifest, process_shard
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.vocabulary import Structure

FORWARDED = ("subject", "split")


def segment(
    segment: SegmentConfig, *, inventory: Path, register: Path, manifest: Path, settings: str
) -> None:
    """Let each tool find its structures in every registered case of a shard.

    The CT is segmented as it was acquired, where the tools are at home, or on the model's grid if
    ``segment.space`` says so. Label maps are written on the tool's own grid.

    Args:
        segment: Which tool finds which structure.
        inventory: Manifest of the stage inventory, for the CTs.
        register: Manifest of the stage register: only cases that passed its gates are segmented.
        manifest: Where this stage's manifest goes.
        settings: What decides the result beside the inputs.
    """
    found = load_manifest(inventory).usable()
    registered = load_manifest(register)
    wanted: dict[str, list[Structure]] = defaultdict(list)
    for structure, name in segment.tools.items():
        if name is not None:
            wanted[name].append(structure)

    def work(case: CaseWork, folder: Path) -> Mapping[str, Any]:
        record: Record = case.inputs
        if segment.space == "native":
            volume = read_case(record.facts)
        else:
            volume = read_made_ct(registered.path(case.case, "ct.nii.gz"))
        structures = _segment_case(case.case, volume, folder, tools, wanted)
        return {
            **{name: record.facts[name] for name in FORWARDED},
            "space": segment.space,
            "structures": structures,
        }

    with ExitStack() as held:
        tools = {name: held.enter_context(closing(get_segmenter(name, segment))) for name in wanted}
        cases = []
        for case, record in registered.usable().items():
            native = segment.space == "native"
            forwarded = {name: found[case].facts[name] for name in FORWARDED}
            made_from: list[Any] = [_identity(found[case])] if native else [record.files, forwarded]
            made_from += [
                sha256_of(path) for name in wanted for path in tools[name].sources(wanted[name], case)
            ]
            cases.append(CaseWork(case, made_from, found[case]))
        process_shard("segment", manifest, cases, work, settings=settings)


def _identity(record: Record) -> dict[str, Any]:
    """Return what of the inventory decides the CT's voxels, and what is carried forward."""
    return {name: record.facts.get(name) for name in ("content", "hu", "affine_repair", *FORWARDED)}


def _segment_case(
    case: str,
    volume: CTVolume,
    folder: Path,
    tools: Mapping[str, Segmenter],
    wanted: Mapping[str, list[Structure]],
) -> dict[str, Any]:
    """Write the label maps of one case, and return who made them and what their labels are called."""
    facts: dict[str, Any] = {}
    for name, tool in tools.items():
        for structure, label_map in tool.segment(volume, wanted[name], case=case).items():
            write_labels(folder / f"{structure}.nii.gz", label_map)
            names = {str(label): label_name for label, label_name in label_map.names.items()}
            facts[structure] = {"tool": tool.name, "names": names, **_versions(tool)}
    return facts


def _versions(tool: Segmenter) -> dict[str, Any]:
    versions = tool.versions()
    return {"versions": versions} if versions else {}
