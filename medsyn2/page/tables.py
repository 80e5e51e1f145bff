"""The tables of the page: cases, quarantine, timings, from the records that the stages left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from medsyn2.facts import InventoryFacts, MasksFacts, RegisterFacts, SampleFacts, SegmentFacts, TextFacts
from medsyn2.store.artefacts import Manifest, Problem, Record, Refusal, records_of
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


@dataclass(frozen=True)
class RunManifests:
    """The manifests of the stages that a case passes through, in the order of the workflow."""

    inventory: Sequence[Manifest[InventoryFacts]]
    register: Sequence[Manifest[RegisterFacts]] = ()
    segment: Sequence[Manifest[SegmentFacts]] = ()
    masks: Sequence[Manifest[MasksFacts]] = ()
    text: Sequence[Manifest[TextFacts]] = ()
    samples: Sequence[Manifest[SampleFacts]] = ()

    def problems(self) -> dict[str, tuple[str, Problem]]:
        """Return the stage that refused a case, and why; of several stages, the first."""
        found: dict[str, tuple[str, Problem]] = {}
        for manifests in (self.inventory, self.register, self.segment, self.masks, self.text, self.samples):
            for manifest in manifests:
                for case, refusal in manifest.refused.items():
                    found.setdefault(case, (manifest.stage, refusal.problem))
        return found


def case_table(run: RunManifests) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for every case of the cohort, and a row for every case that was refused."""
    problems = run.problems()
    registered, masked, texts = records_of(run.register), records_of(run.masks), records_of(run.text)
    cases, refused = [], []
    images: dict[str, str] = {}
    for manifest in run.inventory:
        for case, record in manifest.cases.items():
            names: dict[str, object] = {"case": case, "shard": manifest.folder.name, "path": record.facts.path}
            if case in problems:
                stage, problem = problems[case]
                why = {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
                refused.append(names | why | {"stage": stage, "path": record.facts.path or ""})
            status = f"refused by {problems[case][0]}" if case in problems else "ok"
            first = images.setdefault(record.facts.image, case) if isinstance(record, Record) else case
            same_as = first if first != case else None
            row = _case_row(record, registered.get(case), masked.get(case), texts.get(case), same_as)
            cases.append({**names, "status": status, **row})
    frame = pd.DataFrame(cases, columns=CASE_COLUMNS)
    return escape_formulas(frame), escape_formulas(pd.DataFrame(refused, columns=QUARANTINE_COLUMNS))


def _case_row(
    listed: Record[InventoryFacts] | Refusal,
    registered: Record[RegisterFacts] | None,
    masked: Record[MasksFacts] | None,
    text: Record[TextFacts] | None,
    same_as: str | None,
) -> dict[str, object]:
    scan = listed.facts if isinstance(listed, Record) else None
    moved = registered.facts if registered else None
    warnings = [warning for facts in (scan, moved, text and text.facts) if facts for warning in facts.warnings]
    warnings += [f"holds the same voxels as {same_as}"] if same_as else []
    masks = masked.facts.masks if masked else {}
    warnings += [f"{name} is absent: {facts.problem}" for name, facts in masks.items() if facts.problem]
    return {
        "subject": listed.facts.subject,
        "split": listed.facts.split,
        "report": "yes" if scan and scan.report else "no",
        "lung_dice": moved and moved.lung_dice,
        "rotation_deg": moved and moved.rotation_deg,
        **{name: masked and masked.facts.state(name) for name in STRUCTURES},
        "cut_text": text and text.facts.cut_text,
        "warnings": "; ".join(warnings),
    }


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


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with text that a spreadsheet would run as a formula made plain text by a leading quote."""

    def plain(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    return frame.map(plain)
