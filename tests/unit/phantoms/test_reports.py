"""Reports name every finding of the subject, and no other."""

import re

import numpy as np
import pytest

from medsyn2.phantoms import Demand, describe, draw_subject, labels_of, stream
from medsyn2.phantoms.central import lobar_side
from medsyn2.vocabulary import ABNORMALITY_LABELS, LOBES

SUBJECTS = 80
WORDS = {
    "pleural_effusion": r"pleural effusion",
    "pericardial_effusion": r"pericardial effusion",
    "ground_glass": r"ground-glass",
    "consolidation": r"consolidation",
    "nodules": r"nodule",
    "Cardiomegaly": r"cardiomegaly|heart is enlarged",
    "Emphysema": r"emphysem",
    "Atelectasis": r"atelectasis",
    "Arterial wall calcification": r"aorta|aortic|atheroma|atherosclero",
    "Coronary artery wall calcification": r"coronary",
    "Medical material": r"catheter",
}
LUNG_WORDS = {"ground_glass": "ground-glass", "consolidation": "consolidation", "nodules": "nodule"}
NEGATED = re.compile(r"^no\b|\bnot\b|\bwithout\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def subjects():
    return [draw_subject(5, index) for index in range(SUBJECTS)]


def written(subject):
    return describe(subject, stream(subject.seed, subject.index, "report"))


def sentences(text):
    return [sentence for sentence in re.split(r"(?<=\.)\s+", text) if sentence]


def claimed(text):
    """Return the sentences that say that something is there."""
    return [sentence for sentence in sentences(text) if not NEGATED.search(sentence)]


def truths(subject):
    lesions, labels = subject.lesions, labels_of(subject)
    present = {name: bool(labels.get(name)) for name in WORDS if name in ABNORMALITY_LABELS}
    present["pleural_effusion"] = bool(lesions.pleural)
    present["pericardial_effusion"] = lesions.pericardial is not None
    present["ground_glass"] = any(opacity.kind == "ground_glass" for opacity in lesions.opacities)
    present["consolidation"] = any(opacity.kind == "consolidation" for opacity in lesions.opacities)
    present["nodules"] = bool(lesions.nodules)
    return present


def test_each_part_claims_what_is_there_and_nothing_absent(subjects):
    for subject in subjects:
        report = written(subject)
        for part in (report.findings, report.impression):
            positive = " ".join(claimed(part)).lower()
            for name, present in truths(subject).items():
                assert bool(re.search(WORDS[name], positive)) == present, (subject.index, name, part)


def test_nothing_present_is_denied(subjects):
    for subject in subjects:
        report = written(subject)
        denied = " ".join(s for s in sentences(report.findings) if NEGATED.search(s)).lower()
        for name, present in truths(subject).items():
            if present and name != "pleural_effusion":
                assert not re.search(WORDS[name], denied), (subject.index, name, denied)


def test_sides_of_effusions_are_true(subjects):
    for subject in subjects:
        sides = {effusion.side for effusion in subject.lesions.pleural}
        report = written(subject)
        for part in (report.findings, report.impression):
            own = " ".join(s for s in claimed(part) if re.search("pleural effusion", s, re.IGNORECASE)).lower()
            for side in ("right", "left"):
                named = side in own or "bilateral" in own
                assert named == (side in sides), (subject.index, own)


def test_lobes_of_lesions_are_true(subjects):
    words = {lobe: f"{name.replace('_', ' ')} lobe" for lobe, name in LOBES.items()}
    for subject in subjects:
        report = written(subject)
        for kind, pattern in (
            ("ground_glass", "ground-glass"),
            ("consolidation", "consolidation"),
            ("nodules", "nodule"),
        ):
            lobes = (
                {nodule.lobe for nodule in subject.lesions.nodules}
                if kind == "nodules"
                else {opacity.lobe for opacity in subject.lesions.opacities if opacity.kind == kind}
            )
            findings = " ".join(s for s in claimed(report.findings) if pattern in s.lower()).lower()
            assert {lobe for lobe, word in words.items() if word in findings} == lobes, (subject.index, findings)
            impression = " ".join(s for s in claimed(report.impression) if pattern in s.lower()).lower()
            for lobe in lobes:
                assert words[lobe] in impression or f"{lobar_side(lobe)} lung" in impression


def test_sizes_of_nodules_are_true(subjects):
    for subject in subjects:
        told = [s for s in claimed(written(subject).findings) if "nodule" in s.lower()]
        sizes = sorted(int(size) for s in told for size in re.findall(r"(\d+) mm", s))
        assert sizes == sorted(int(nodule.diameter_mm) for nodule in subject.lesions.nodules)


def test_wording_varies(subjects):
    healthy = draw_subject(5, 0, ())
    texts = {describe(healthy, np.random.default_rng(seed)).findings for seed in range(30)}
    assert len(texts) > 20
    assert len({written(subject).findings for subject in subjects}) == SUBJECTS


def test_labels_are_the_18_of_the_table():
    demands = (Demand("pleural_effusion", "left", None, 300.0), Demand("nodules", None, None, 10.0))
    labels = labels_of(draw_subject(5, 1, demands))
    assert tuple(labels) == ABNORMALITY_LABELS
    assert set(labels.values()) <= {0, 1}
    assert labels["Pleural effusion"] == labels["Lung nodule"] == 1
    assert labels["Consolidation"] == labels["Pericardial effusion"] == labels["Lung opacity"] == 0


def test_the_report_is_the_same_every_time():
    subject = draw_subject(5, 2)
    assert written(subject) == written(draw_subject(5, 2))
