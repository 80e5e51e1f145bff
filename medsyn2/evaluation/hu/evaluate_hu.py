"""The stage ``evaluate_hu``: do synthetic organs and tissues have the HU of real ones?"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from medsyn2.config.evaluation import EvaluateHuConfig
from medsyn2.evaluation.case_rows import load_measured, read_rows
from medsyn2.evaluation.hu.figure import hu_png
from medsyn2.evaluation.hu.hu import CASE_COLUMNS, ORGANS, HuSpread, case_rows, compare_hu, mark_outliers
from medsyn2.facts import REAL, CaseFacts, SampledVolume, SampleFacts
from medsyn2.files import write_bytes, write_table
from medsyn2.store.artefacts import Record, load_records
from medsyn2.vocabulary import Structure


def evaluate_hu(
    evaluate_hu: EvaluateHuConfig, *, measured: list[Path], samples: list[Path], table: Path, cases: Path, figure: Path
) -> None:
    """Compare the HU that measure_hu found in real and in synthetic volumes, and list the outliers by name.

    A sampled case without an organ's mask is counted as one that misses it, in each condition that asks for the mask.
    """
    sampled = {case: record.facts.samples for case, record in load_records(samples, SampleFacts).items()}
    conditions = _organ_conditions(sampled.values())
    rows = [
        row
        for case, record in load_measured(measured, CaseFacts).items()
        for row in _all_rows(record, conditions, sampled.get(case))
    ]
    frame = mark_outliers(pd.DataFrame(rows, columns=CASE_COLUMNS), evaluate_hu.robust_sds)
    means = compare_hu(frame, evaluate_hu.robust_sds)
    write_table(cases, frame)
    write_table(table, means)
    write_bytes(figure, hu_png(means, frame))


def _organ_conditions(samples: Iterable[Iterable[SampledVolume]]) -> dict[str, Structure]:
    """Return the conditions that the cohort was sampled with and that ask for an organ's mask."""
    return {one.condition: one.structure for made in samples for one in made if one.structure in ORGANS}


def _all_rows(
    record: Record[CaseFacts], conditions: Mapping[str, Structure], samples: Iterable[SampledVolume] | None
) -> Iterator[dict[str, object]]:
    """Yield the rows that were measured, then one for each organ's mask that a sampled case lacks."""
    rows = read_rows(record)
    yield from rows
    if samples is None:
        return
    made = {one.condition for one in samples}
    absent = {row["region"] for row in rows if row["source"] == REAL and not row["num_voxels"]}
    for condition, structure in conditions.items():
        # With the mask, it is a report that the case lacks.
        if condition not in made and ORGANS[structure] in absent:
            spreads = {ORGANS[structure]: HuSpread()}
            yield from case_rows(record.case, record.facts.subject, condition, spreads)
