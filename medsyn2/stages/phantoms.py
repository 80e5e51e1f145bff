"""Make the embedded cohort: scans, truth, reports and labels of one shard of phantoms."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsyn2.config import PhantomsConfig
from medsyn2.errors import ConfigError
from medsyn2.phantoms import (
    Acquisition,
    Incidental,
    Lesions,
    Subject,
    describe,
    draw_acquisition,
    draw_subject,
    labels_of,
    scan,
    stream,
    write_scan,
    write_truth,
)
from medsyn2.store.artefacts import CaseWork, process_shard, write_text_atomically
from medsyn2.vocabulary import ABNORMALITY_LABELS

PREFIX = "phantom_"
REPORT_COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")
CLINICAL, TECHNIQUE = "Not given.", "Non-contrast chest CT; procedural phantom."


@dataclass(frozen=True)
class PhantomFacts:
    """The truth about a phantom: its report and labels, and everything that was drawn."""

    findings: str
    impression: str
    labels: dict[str, int]
    truth_ml: dict[str, float]
    lesions: Lesions
    incidental: Incidental
    cardiothoracic_ratio: float
    acquisition: Acquisition


def phantoms(
    phantoms: PhantomsConfig, *, cases: str, manifest: Path, reports: Path, labels: Path, settings: str
) -> None:
    """Make the phantoms of one shard: a scan and ground-truth masks for each, a report and a label table.

    A phantom follows from the seed and its own number alone, so that more of them leave the others as they are. The
    tables have CT-RATE's columns.
    """
    indices = {case["id"]: phantom_index(case["id"]) for case in json.loads(cases)}

    def work(case: CaseWork, folder: Path) -> PhantomFacts:
        return _make(draw_subject(phantoms.seed, case.made_from), phantoms.spacing_mm, case.case, folder)

    todo = [CaseWork(case_id, made_from=index) for case_id, index in indices.items()]
    done = process_shard("phantoms", manifest, todo, work, settings=settings, facts=PhantomFacts)
    facts = {case_id: record.facts for case_id, record in done.records.items()}
    write_text_atomically(reports, _report_table(facts))
    write_text_atomically(labels, _label_table(facts))


def phantom_index(case_id: str) -> int:
    """Return the number of a phantom from its id.

    Raises:
        ConfigError: If the id is not a phantom's.
    """
    digits = case_id.removeprefix(PREFIX)
    if not case_id.startswith(PREFIX) or not digits.isdecimal():
        raise ConfigError(
            f"expected a case id such as {PREFIX}00007, got {case_id!r}.",
            code="phantom-id",
            remedy="let the workflow name the cases, or use the same form.",
        )
    return int(digits)


def _make(subject: Subject, spacing_mm: float, case_id: str, folder: Path) -> PhantomFacts:
    acquisition = draw_acquisition(subject, spacing_mm)
    phantom = scan(subject, acquisition)
    write_scan(folder / f"{case_id}.nii.gz", phantom.volume, acquisition)
    (folder / "truth").mkdir()
    volumes_ml: dict[str, float] = {}
    for name, mask in phantom.truth.items():
        write_truth(folder / "truth" / f"{name}.nii.gz", mask.labels, phantom.volume, acquisition)
        voxel_ml = float(abs(acquisition.spacing_mm[0] * acquisition.spacing_mm[1] * acquisition.spacing_mm[2])) / 1000
        volumes_ml[name] = round(float((mask.labels != 0).sum()) * voxel_ml, 3)
    report = describe(subject, stream(subject.seed, subject.index, "report"))
    return PhantomFacts(
        findings=report.findings,
        impression=report.impression,
        labels=labels_of(subject),
        truth_ml=volumes_ml,
        lesions=subject.lesions,
        incidental=subject.incidental,
        cardiothoracic_ratio=subject.anatomy.cardiothoracic_ratio,
        acquisition=acquisition,
    )


def _report_table(facts: Mapping[str, PhantomFacts]) -> str:
    rows = [[f"{case_id}.nii.gz", CLINICAL, TECHNIQUE, own.findings, own.impression] for case_id, own in facts.items()]
    return _csv([list(REPORT_COLUMNS), *rows])


def _label_table(facts: Mapping[str, PhantomFacts]) -> str:
    rows = [
        [f"{case_id}.nii.gz", *(str(own.labels[label]) for label in ABNORMALITY_LABELS)]
        for case_id, own in facts.items()
    ]
    return _csv([["VolumeName", *ABNORMALITY_LABELS], *rows])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
