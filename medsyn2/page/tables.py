"""The tables of the page: cases, quarantine, timings, from the records that the stages left."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from medsyn2.store.artefacts import Manifest, Record, Refusal
from medsyn2.vocabulary import STRUCTURES

CASE_COLUMNS = [
    "case",
    "subject",
    "split",
    "shard",
    "status",
    "report",
    "lung_dice",
    "rotation_deg",
    *STRUCTURES,
    "cut_text",
    "warnings",
    "path",
]
QUARANTINE_COLUMNS = ["case", "shard", "stage", "code", "message", "remedy", "path"]
TIMING_COLUMNS = ["stage", "jobs", "seconds", "longest_s", "peak_mb"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def case_table(
    inventory: Iterable[Manifest[Any]], others: Mapping[str, Sequence[Manifest[Any]]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for every case of the cohort, and a row for every case that was refused.

    Args:
        inventory: Manifests of the stage inventory: every case.
        others: Manifests of the later stages, by stage, in the order of the workflow.
    """
    records: dict[str, dict[str, Record[Any] | Refusal]] = {
        stage: {case: record for manifest in manifests for case, record in manifest.cases.items()}
        for stage, manifests in others.items()
    }
    cases, refused = [], []
    for manifest in inventory:
        for case, record in manifest.cases.items():
            chain = {
                "inventory": record,
                **{stage: found[case] for stage, found in records.items() if case in found},
            }
            problem = next(((stage, r.problem) for stage, r in chain.items() if r.problem), None)
            shard, path = manifest.folder.name, _facts(record).get("path", "")
            cases.append(_case_row(case, shard, chain, problem[0] if problem else None))
            if problem:
                stage, why = problem
                row = {"stage": stage, "code": why.code, "message": why.message, "remedy": why.remedy}
                refused.append({"case": case, "shard": shard, **row, "path": path})
    frame = pd.DataFrame(cases, columns=CASE_COLUMNS)
    return without_formulas(frame), without_formulas(pd.DataFrame(refused, columns=QUARANTINE_COLUMNS))


def _case_row(
    case: str, shard: str, chain: Mapping[str, Record[Any] | Refusal], refused_by: str | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for record in chain.values():
        facts.update(_facts(record))
    masks = facts.get("masks") or {}
    row = {
        name: facts.get(name)
        for name in ("subject", "split", "lung_dice", "rotation_deg", "cut_text", "path")
    }
    row |= {structure: masks.get(structure, {}).get("state") for structure in STRUCTURES}
    row["warnings"] = "; ".join(
        text for record in chain.values() for text in _facts(record).get("warnings", ())
    )
    row["report"] = "yes" if facts.get("report") else "no"
    return {**row, "case": case, "shard": shard, "status": f"refused by {refused_by}" if refused_by else "ok"}


def _facts(record: Record[Any] | Refusal) -> Mapping[str, Any]:
    return asdict(record.facts) if isinstance(record, Refusal) else record.facts


def timing_table(benchmarks: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """Return a row for each stage: its jobs, their seconds in all and of the longest, and the peak memory.

    Args:
        benchmarks: By stage, Snakemake's benchmark tables (columns ``s`` and ``max_rss`` in MB).
    """
    rows = []
    for stage, tables in benchmarks.items():
        whole = pd.concat(tables).apply(pd.to_numeric, errors="coerce")
        seconds = whole["s"]
        rows.append([stage, len(tables), seconds.sum(), seconds.max(), whole["max_rss"].max()])
    return pd.DataFrame(rows, columns=TIMING_COLUMNS)


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with text that a spreadsheet would run as a formula made plain text by a leading quote."""

    def plain(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    return frame.map(plain)
