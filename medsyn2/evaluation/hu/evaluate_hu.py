"""The stage ``evaluate_hu``: do synthetic organs and tissues have the HU of real ones?"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from medsyn2.config import GridConfig
from medsyn2.config.evaluation import EvaluateHuConfig
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.hu.figure import hu_png
from medsyn2.evaluation.hu.hu import (
    CASE_COLUMNS,
    ORGANS,
    REAL,
    HuSpread,
    case_rows,
    compare_hu,
    hu_spread,
    mark_outliers,
    tissue_spreads,
)
from medsyn2.facts import CaseFacts
from medsyn2.files import write_bytes, write_table
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.vocabulary import Structure

ClipHU = tuple[float, float]
ROWS_FILE = "hu.json"


def evaluate_hu(
    grid: GridConfig,
    evaluate_hu: EvaluateHuConfig,
    *,
    register: list[Path],
    masks: list[Path],
    samples: list[Path],
    manifest: Path,
    table: Path,
    cases: Path,
    figure: Path,
    settings: str,
) -> None:
    """Measure the HU of every held-out case and of its synthetic volumes, by organ and by tissue.

    All volumes are clipped to the model's range, which synthetic ones cannot leave. See `hu` for the measures.
    Each case's rows are kept with the manifest, so that a stopped job goes on with the next case.
    """
    held_out = {case.name: case for case in load_cases(register, masks=masks, samples=samples)}
    conditions = _organ_conditions(held_out.values())
    work = [CaseWork(case.name, [conditions, *_files(case)]) for case in held_out.values()]

    def measure(work: CaseWork, folder: Path) -> CaseFacts:
        case = held_out[work.case]
        rows = [*_real_rows(case, grid.clip_hu), *_synthetic_rows(case, conditions, grid.clip_hu)]
        (folder / ROWS_FILE).write_text(json.dumps(rows), encoding="utf-8")
        return CaseFacts(case.subject, case.split)

    done = process_shard("evaluate_hu", manifest, work, measure, settings=settings, facts=CaseFacts)
    rows = [
        row
        for record in done.records.values()
        for row in json.loads(record.path(ROWS_FILE).read_text(encoding="utf-8"))
    ]
    frame = mark_outliers(pd.DataFrame(rows, columns=CASE_COLUMNS), evaluate_hu.robust_sds)
    means = compare_hu(frame, evaluate_hu.robust_sds)
    write_table(cases, frame)
    write_table(table, means)
    write_bytes(figure, hu_png(means, frame))


def _files(case: Case) -> Iterator[Mapping[str, str]]:
    """Yield the sha256 of the files that a case is measured from."""
    for record in (case.registered, case.masked, case.sampled):
        yield record.files if record else {}


def _organ_conditions(cases: Iterable[Case]) -> dict[str, Structure]:
    """Return the conditions that the cohort was sampled with and that ask for an organ's mask."""
    return {
        sample.condition: sample.structure for case in cases for sample in case.samples if sample.structure in ORGANS
    }


def _real_rows(case: Case, clip_hu: ClipHU) -> Iterator[dict[str, object]]:
    volume = case.read()
    spreads = {organ: _organ_spread(case, structure, volume, clip_hu) for structure, organ in ORGANS.items()}
    yield from case_rows(case.name, case.subject, REAL, spreads | tissue_spreads(_clip(volume, clip_hu)))


def _synthetic_rows(case: Case, conditions: Mapping[str, Structure], clip_hu: ClipHU) -> Iterator[dict[str, object]]:
    for sample, file in case.samples.items():
        volume = read_made_ct(file.path)
        spreads = tissue_spreads(_clip(volume, clip_hu))
        if sample.structure in ORGANS:
            spreads[ORGANS[sample.structure]] = _organ_spread(case, sample.structure, volume, clip_hu)
        yield from case_rows(case.name, case.subject, sample.condition, spreads)
    made = {sample.condition for sample in case.samples}
    for condition, structure in conditions.items() if case.sampled else ():
        # A sampled case has no volume of this organ's mask for want of the mask, or of a report beside it.
        if condition not in made and structure not in case.structures:
            yield from case_rows(case.name, case.subject, condition, {ORGANS[structure]: HuSpread()})


def _organ_spread(case: Case, structure: Structure, volume: CTVolume, clip_hu: ClipHU) -> HuSpread:
    if structure not in case.structures:
        return HuSpread()
    return hu_spread(_clip(volume, clip_hu), case.region(structure).binary())


def _clip(volume: CTVolume, clip_hu: ClipHU) -> np.ndarray:
    return np.asarray(np.clip(volume.hu, *clip_hu))
