"""The stage ``measure_hu``: the HU of real and synthetic volumes, by organ and by tissue."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from medsyn2.config import GridConfig
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.case_rows import write_rows
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.hu.hu import ORGANS, HuSpread, case_rows, hu_spread, tissue_spreads
from medsyn2.facts import REAL, CaseFacts
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import Structure

ClipHU = tuple[float, float]


def measure_hu(
    grid: GridConfig, *, register: list[Path], masks: list[Path], samples: list[Path], manifest: Path, settings: str
) -> None:
    """Measure the HU of held-out cases and of their synthetic volumes, by organ and by tissue.

    All volumes are clipped to the model's range, which synthetic ones cannot leave. See `hu` for the measures.
    """
    held_out = {case.name: case for case in load_cases(register, masks=masks, samples=samples)}
    work = [CaseWork(case.name, list(_files(case))) for case in held_out.values()]

    def measure(work: CaseWork, folder: Path) -> CaseFacts:
        case = held_out[work.case]
        write_rows(folder, [*_real_rows(case, grid.clip_hu), *_synthetic_rows(case, grid.clip_hu)])
        return CaseFacts(case.subject, case.split)

    process_shard("measure_hu", manifest, work, measure, settings=settings, facts=CaseFacts)


def _files(case: Case) -> Iterator[Mapping[str, str]]:
    """Yield the sha256 of the files that a case is measured from."""
    for record in (case.registered, case.masked, case.sampled):
        yield record.files if record else {}


def _real_rows(case: Case, clip_hu: ClipHU) -> Iterator[dict[str, object]]:
    volume = case.read()
    spreads = {organ: _organ_spread(case, structure, volume, clip_hu) for structure, organ in ORGANS.items()}
    yield from case_rows(case.name, case.subject, REAL, spreads | tissue_spreads(_clip(volume, clip_hu)))


def _synthetic_rows(case: Case, clip_hu: ClipHU) -> Iterator[dict[str, object]]:
    for sample, file in case.samples.items():
        volume = file.read()
        spreads = tissue_spreads(_clip(volume, clip_hu))
        if sample.structure in ORGANS:
            spreads[ORGANS[sample.structure]] = _organ_spread(case, sample.structure, volume, clip_hu)
        yield from case_rows(case.name, case.subject, sample.condition, spreads)


def _organ_spread(case: Case, structure: Structure, volume: CTVolume, clip_hu: ClipHU) -> HuSpread:
    if structure not in case.structures:
        return HuSpread()
    return hu_spread(_clip(volume, clip_hu), case.region(structure).binary())


def _clip(volume: CTVolume, clip_hu: ClipHU) -> np.ndarray:
    return np.asarray(np.clip(volume.hu, *clip_hu))
