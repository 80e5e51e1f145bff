"""The stage: files, tables and facts of a shard, the same bytes on every run."""

import csv
import hashlib
import json

import pytest

from medsyn2.config import PhantomsConfig
from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.errors import ConfigError
from medsyn2.stages.phantoms import PhantomFacts, phantom_index, phantoms
from medsyn2.store.artefacts import load_manifest
from medsyn2.vocabulary import ABNORMALITY_LABELS

SETTINGS = PhantomsConfig(spacing_mm=7.0, seed=2)


def run(folder, ids):
    phantoms(
        SETTINGS,
        cases=json.dumps([{"id": case_id} for case_id in ids]),
        manifest=folder / "0000.json",
        reports=folder / "0000_reports.csv",
        labels=folder / "0000_labels.csv",
        settings=SETTINGS.model_dump_json(),
    )


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_shard_is_made_with_its_tables(tmp_path):
    ids = ["phantom_00000", "phantom_00001", "phantom_00004"]
    run(tmp_path / "a", ids)
    manifest = load_manifest(tmp_path / "a" / "0000.json", PhantomFacts)
    assert list(manifest.records) == ids
    reports = list(csv.DictReader((tmp_path / "a" / "0000_reports.csv").open(encoding="utf-8")))
    labels = list(csv.DictReader((tmp_path / "a" / "0000_labels.csv").open(encoding="utf-8")))
    assert [row["VolumeName"] for row in reports] == [f"{case_id}.nii.gz" for case_id in ids]
    assert list(labels[0]) == ["VolumeName", *ABNORMALITY_LABELS]
    for case_id, report, row in zip(ids, reports, labels, strict=True):
        facts = manifest.records[case_id].facts
        assert report["Findings_EN"] == facts.findings
        assert report["Impressions_EN"] == facts.impression
        assert {name: int(row[name]) for name in ABNORMALITY_LABELS} == facts.labels
        ct = read_ct(manifest.path(case_id, f"{case_id}.nii.gz"))
        lungs = read_labels(manifest.path(case_id, "truth/lungs.nii.gz"))
        assert lungs.shape == ct.shape
        assert lungs.labels.any()
    run(tmp_path / "b", ids)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_a_phantom_is_the_same_in_another_company(tmp_path):
    run(tmp_path / "a", ["phantom_00002"])
    run(tmp_path / "b", ["phantom_00001", "phantom_00002"])
    name = "0000/phantom_00002/phantom_00002.nii.gz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_ids_name_the_number():
    assert phantom_index("phantom_00012") == 12
    with pytest.raises(ConfigError, match="phantom_00007"):
        phantom_index("patient_3")
