"""The stage ``evaluate_masks``: do generated volumes follow their masks?"""

import logging
from collections.abc import Sequence
from math import nan
from pathlib import Path

import pandas as pd

from medsyn2.config import EvaluateMasksConfig
from medsyn2.evaluation.case_rows import load_measured, read_rows
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, present, summarise
from medsyn2.evaluation.statistics.intervals import ratio_interval
from medsyn2.facts import CaseFacts
from medsyn2.files import write_table
from medsyn2.vocabulary import CONDITIONS, STRUCTURES, Structure

log = logging.getLogger(__name__)

COLUMNS = ["structure", "condition", "comparison", "case", "patient", "other", "segmenter", *VALUES, *FLAGS]
OWN = ("requested", "ceiling", "reconstructed_ct")
"""Comparisons of a case's volumes with the mask of that case."""
RATIOS = ["disagreement_ratio", "disagreement_ratio_low", "disagreement_ratio_high"]


def evaluate_masks(evaluate_masks: EvaluateMasksConfig, *, measured: list[Path], table: Path, cases: Path) -> None:
    """Gather the comparisons of measure_masks and average them by structure, condition, comparison and segmenter.

    Intervals are over patients, those of the volumes and those of the masks. ``disagreement_ratio`` is 1 - Dice over
    that of ``shuffled``, of the patients that have both: it is 1 for a generator that ignores its mask, 0 for one that
    follows it perfectly, and the ceiling's row is the segmenter's share.
    """
    rows = [row for record in load_measured(measured, CaseFacts).values() for row in read_rows(record)]
    frame = pd.DataFrame(_by_structure(rows, evaluate_masks.structures), columns=COLUMNS)
    write_table(cases, frame)
    means = summarise(_with_other_patients(frame), ["structure", "condition", "comparison", "segmenter"])
    means = _with_ratios(means, _with_other_patients(frame))
    write_table(table, means)


def _by_structure(rows: Sequence[dict[str, object]], asked: Sequence[Structure] | None) -> list[dict[str, object]]:
    """Return the rows by structure, in the order asked for, then by condition; warn of a structure that has none."""
    found: list[dict[str, object]] = []
    for structure in STRUCTURES if asked is None else asked:
        name = "lungs" if structure == "lobes" else structure
        if group := [row for row in rows if row["structure"] == name]:
            found += sorted(group, key=lambda row: CONDITIONS.index(str(row["condition"])))
        elif asked is not None:
            log.warning(
                "%s is left out: no volume that was generated from a mask of it was segmented; add it to "
                "sample.structures or sample.joint with a tool that finds it, or take it from "
                "evaluate_masks.structures",
                structure,
            )
    return found


def _with_other_patients(cases: pd.DataFrame) -> pd.DataFrame:
    """Add the patient of the mask that a volume is compared with; a case that has no volume stands for its patient."""
    known = cases.drop_duplicates("case").set_index("case")["patient"]
    return cases.assign(other_patient=cases["other"].map(known).fillna(cases["other"]))


def _with_ratios(means: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    groups = {
        key: (1 - rows["dice"].astype(float), rows["patient"], rows["other_patient"])
        for key, rows in present(cases).groupby(["structure", "condition", "comparison"])
    }
    ratios = []
    for structure, condition, comparison in means[["structure", "condition", "comparison"]].itertuples(index=False):
        own, others = (groups.get((structure, condition, one)) for one in (comparison, "shuffled"))
        if comparison in OWN and own is not None and others is not None:
            ratio, ends = ratio_interval(own[:2], others)
            ratios.append((ratio, *ends))
        else:
            ratios.append((nan, nan, nan))
    return means.join(pd.DataFrame(ratios, columns=RATIOS, index=means.index))
