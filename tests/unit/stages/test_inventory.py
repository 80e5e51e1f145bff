import csv
import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn2.cohort import volumes
from medsyn2.cohort.volumes import read_case
from medsyn2.config import InventoryConfig
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import CaseError, IntegrityError, TableError
from medsyn2.facts import InventoryFacts, Report
from medsyn2.integrity import write_checksums
from medsyn2.stages.inventory import inventory
from medsyn2.store.artefacts import load_manifest
from medsyn2.vocabulary import ABNORMALITY_LABELS
from tests.series import pack, write_series


def chest(seed):
    hu = np.full((36, 32, 34), -1000.0)
    hu[:, 6:28, 4:31] = 40
    hu[2:-2, 10:22, 7:14] = -850
    return np.rint(hu + np.random.default_rng(seed).normal(0, 15, hu.shape)).astype(np.int16)


def write_table(path, columns, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def cohort(tmp_path):
    """Three sound files, a damaged one, a missing one and one whose report rows contradict each other."""
    cases = []
    for position, name in enumerate(("a", "b", "c", "damaged", "missing", "conflict")):
        path = tmp_path / "data" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        if name != "missing":
            affine = axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))
            write_ct(path, CTVolume(chest(position), affine))
        if name == "damaged":
            path.write_bytes(path.read_bytes()[:-30])
        split = "test" if name == "b" else "train"
        cases.append({"id": name, "path": str(path), "subject": f"s_{name}", "split": split, "position": position})
    rows = [
        ("a.nii.gz", "Nodule.", "Follow up."),
        ("b", "Not given.", "Not given."),
        ("conflict", "x", ""),
        ("conflict", "y", ""),
        ("elsewhere", "x", ""),
    ]
    reports = write_table(tmp_path / "reports.csv", ("VolumeName", "Findings_EN", "Impressions_EN"), rows)
    labels = write_table(
        tmp_path / "labels.csv", ("VolumeName", *ABNORMALITY_LABELS), [("a.nii.gz", *[1] * 9, *[0] * 9)]
    )
    return cases, reports, labels


def run(cohort, manifest, convention="detect", reports=None):
    cases, table, labels = cohort
    inventory(
        InventoryConfig(hu_convention=convention),
        cases=json.dumps(cases),
        reports=[table] if reports is None else reports,
        labels=[labels],
        metadata=[],
        manifest=manifest,
        settings=json.dumps({"hu_convention": convention}),
    )
    return load_manifest(manifest, InventoryFacts)


def test_sound_cases_are_described_and_bad_ones_quarantined_with_their_codes(cohort, tmp_path, caplog):
    caplog.set_level("INFO")
    found = run(cohort, tmp_path / "results/inventory/0000.json")
    assert list(found.cases) == ["a", "b", "c", "damaged", "missing", "conflict"]
    assert list(found.records) == ["a", "b", "c"]
    codes = {case: refusal.problem.code for case, refusal in found.refused.items()}
    assert codes == {"damaged": "gzip-truncated", "missing": "file-missing", "conflict": "report-conflict"}
    assert found.refused["missing"].facts.path.endswith("missing.nii.gz")
    facts = found.records["a"].facts
    assert (facts.subject, facts.split, facts.position) == ("s_a", "train", 0)
    assert facts.path == cohort[0][0]["path"]
    assert facts.report == Report("Nodule.", "Follow up.")
    assert sum(facts.labels.values()) == 9
    assert found.records["b"].facts.report is None
    assert found.records["c"].facts.labels is None
    assert "report: 5 rows; 3 of 6 cases have one" in caplog.text
    assert np.array_equal(read_case(facts).hu, chest(0).clip(-1024))


def test_the_manifest_is_the_same_whenever_it_is_made(cohort, tmp_path):
    first = tmp_path / "one/0000.json"
    second = tmp_path / "two/0000.json"
    run(cohort, first)
    run(cohort, second)
    assert first.read_bytes() == second.read_bytes()


def test_a_second_run_looks_for_missing_files_alone_and_a_changed_one_is_read_again(cohort, tmp_path, monkeypatch):
    manifest = tmp_path / "results/0000.json"
    run(cohort, manifest)
    before = manifest.read_bytes()
    opened = []
    reader = volumes.open_volume
    monkeypatch.setattr(
        volumes, "open_volume", lambda path, **how: opened.append(Path(path).name) or reader(path, **how)
    )
    run(cohort, manifest)
    assert opened == ["missing.nii.gz"]
    opened.clear()
    assert manifest.read_bytes() == before
    affine = axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))
    write_ct(cohort[0][2]["path"], CTVolume(chest(99), affine))
    write_ct(cohort[0][4]["path"], CTVolume(chest(98), affine))
    assert "missing" in run(cohort, manifest).records
    assert opened == ["c.nii.gz", "missing.nii.gz"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_change_in_the_middle_alone_is_read_again(cohort, tmp_path, suffix):
    """Files of the same size, their first and last bytes (of voxels) the same."""
    case = {**cohort[0][0], "path": str(tmp_path / f"big{suffix}")}
    affine = axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))
    volume = np.tile(chest(0), (1, 4, 4))
    manifest = tmp_path / "results/0000.json"
    found = []
    for value in (40, 41):
        volume[18, 64, 68] = value
        write_ct(case["path"], CTVolume(volume, affine))
        found.append(run(([case], *cohort[1:]), manifest).records["a"].fingerprint)
    assert found[0] != found[1]


def test_a_copy_is_refused_and_a_file_that_only_looks_like_one_is_not(cohort, tmp_path):
    cases, *tables = cohort
    copied = {**cases[2], "same_as": cases[0]["path"]}
    alike = {**cases[1], "same_as": cases[0]["path"]}
    Path(copied["path"]).write_bytes(Path(cases[0]["path"]).read_bytes())
    found = run(([cases[0], alike, copied], *tables), tmp_path / "results/0000.json")
    assert list(found.records) == ["a", "b"]
    problem = found.refused["c"].problem
    assert problem.code == "file-repeated"
    assert all(name in problem.message for name in ("a.nii.gz", "c.nii.gz"))


def test_a_name_that_is_no_text_is_refused_alone(cohort, tmp_path):
    cases, *tables = cohort
    path = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.nii.gz")
    shutil.copy(cases[0]["path"], path)
    found = run(([cases[0], {**cases[1], "path": path}], *tables), tmp_path / "results/0000.json")
    assert list(found.records) == ["a"]
    assert found.refused["b"].problem.code == "file-name"
    assert found.refused["b"].facts.path.endswith(r"/bad\xff.nii.gz")


def test_a_changed_report_or_setting_makes_its_records_new(cohort, tmp_path):
    manifest = tmp_path / "results/0000.json"
    before = run(cohort, manifest).records
    write_table(cohort[1], ("VolumeName", "Findings_EN", "Impressions_EN"), [("c", "New.", "")])
    after = run(cohort, manifest).records
    assert after["c"].facts.report == Report("New.")
    assert after["a"].facts.report is None
    assert after["b"].fingerprint == before["b"].fingerprint
    assert run(cohort, manifest, "hu").records["b"].fingerprint != before["b"].fingerprint


def test_stored_values_are_quarantined_until_a_metadata_table_is_given(cohort, tmp_path):
    cases, reports, labels = cohort
    affine = axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))
    write_ct(cases[0]["path"], CTVolume(chest(0) + np.int16(1024), affine))
    manifest = tmp_path / "results/0000.json"
    record = run(([cases[0]], reports, labels), manifest).refused["a"]
    assert record.problem.code == "hu-stored"
    columns = ("VolumeName", "RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing")
    metadata = write_table(tmp_path / "metadata.csv", columns, [("a.nii.gz", 1, -1024, "[4.0, 4.0]", 3.0)])
    inventory(
        InventoryConfig(),
        cases=json.dumps([cases[0]]),
        reports=[],
        labels=[],
        metadata=[metadata],
        manifest=manifest,
        settings="{}",
    )
    facts = load_manifest(manifest, InventoryFacts).records["a"].facts
    assert facts.hu.intercept == -1024.0
    assert np.array_equal(read_case(facts).hu, chest(0).clip(-1024))


def test_a_table_without_its_columns_stops_the_run_and_quarantines_nothing(cohort, tmp_path):
    wrong = write_table(tmp_path / "wrong.csv", ("Volume", "Text"), [("a", "x")])
    with pytest.raises(TableError, match="table-columns"):
        run(cohort, tmp_path / "results/0000.json", reports=[wrong])
    assert not (tmp_path / "results/0000.json").exists()


def test_damage_to_a_table_that_a_stage_wrote_is_no_other_table(cohort, tmp_path):
    table = cohort[2]
    write_checksums([table])
    table.write_bytes(table.read_bytes().replace(b"Consolidation", b"Consolydation"))
    with pytest.raises(IntegrityError, match=r"rm .*labels\.csv") as caught:
        run(cohort, tmp_path / "results/0000.json")
    assert caught.value.code == "output-damaged"


def test_labels_that_cannot_be_read_cost_the_labels_and_not_the_ct(cohort, tmp_path):
    cases, reports, _ = cohort
    rows = [("a", "1", *[""] * 17), ("b", "True", *["False"] * 17), ("c", "-1", *["0"] * 17), ("c", "0", *["0"] * 17)]
    labels = write_table(tmp_path / "labels.csv", ("VolumeName", *ABNORMALITY_LABELS), rows)
    found = run((cases[:3], reports, labels), tmp_path / "results/0000.json").records
    assert list(found) == ["a", "b", "c"]
    assert found["b"].facts.labels == {**dict.fromkeys(ABNORMALITY_LABELS, 0), ABNORMALITY_LABELS[0]: 1}
    assert (found["a"].facts.labels, found["c"].facts.labels) == (None, None)
    assert any("its labels are left out" in warning and "is ''" in warning for warning in found["a"].facts.warnings)
    assert any("two rows of c" in warning for warning in found["c"].facts.warnings)


def test_the_next_reconstruction_of_a_damaged_one_is_taken_until_the_first_is_mended(cohort, tmp_path):
    cases, reports, labels = cohort
    damaged, sound = cases[3], cases[0]["path"]
    case = {**damaged, "later": [cases[4]["path"], sound]}
    manifest = tmp_path / "results/0000.json"
    facts = run(([case], reports, labels), manifest).records["damaged"].facts
    assert facts.path == sound
    assert [warning.split(":")[0] for warning in facts.warnings if "reconstruction" in warning] == [
        "an earlier reconstruction was refused (gzip-truncated)",
        "an earlier reconstruction was refused (file-missing)",
    ]
    assert np.array_equal(read_case(facts).hu, chest(0).clip(-1024))
    affine = axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))
    write_ct(damaged["path"], CTVolume(chest(7), affine))
    facts = run(([case], reports, labels), manifest).records["damaged"].facts
    assert facts.path == damaged["path"]
    assert not any("reconstruction" in warning for warning in facts.warnings)
    Path(damaged["path"]).write_bytes(b"x")
    refused = run(([{**case, "later": [cases[4]["path"]]}], reports, labels), manifest).refused["damaged"]
    assert refused.problem.code == "file-is-text"


def test_a_file_is_joined_with_the_row_of_its_folder_where_several_have_its_name(cohort, tmp_path):
    cases, _, labels = cohort
    rows = [("p1/a.nii.gz", "One.", ""), ("p2/a.nii.gz", "Two.", ""), ("a.nii.gz", "Nobody's.", "")]
    reports = write_table(tmp_path / "r.csv", ("VolumeName", "Findings_EN", "Impressions_EN"), rows)
    found = run(([{**cases[0], "key": "p2/a"}], reports, labels), tmp_path / "results/0000.json")
    assert found.records["a"].facts.report == Report("Two.")


def test_label_maps_and_synthetic_volumes_are_named(cohort, tmp_path):
    cases, reports, labels = cohort
    affine = axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))
    write_ct(cases[0]["path"], CTVolume((chest(0) > -500).astype(np.int16), affine))
    write_ct(cases[1]["path"], CTVolume(chest(1), affine), description="SYNTHETIC medsyn2 0.1.0 seed=0")
    refused = run((cases[:2], reports, labels), tmp_path / "results/0000.json").refused
    assert {case: one.problem.code for case, one in refused.items()} == {"a": "label-map", "b": "volume-synthetic"}
    assert "cohort.exclude_dirs" in refused["a"].problem.remedy


def test_the_image_is_the_same_however_a_file_holds_it(cohort, tmp_path):
    cases, reports, labels = cohort
    image = nibabel.load(cases[0]["path"])
    nibabel.save(image.as_reoriented([[2, -1], [0, 1], [1, -1]]), cases[1]["path"])
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine), cases[2]["path"])
    records = run((cases[:3], reports, labels), tmp_path / "results/0000.json").records.values()
    assert len({record.facts.image for record in records}) == 1
    assert len({record.facts.content for record in records}) == 3


def write_archive(path, *series):
    """Pack series of a study, each a patient's name and a volume with its spacing along the depth."""
    source = path.with_name(f".{path.name}")
    source.mkdir()
    for number, (patient, hu, spacing_mm) in enumerate(series):
        affine = axis_aligned_affine((spacing_mm, 4.0, 4.0), (-60.0, -50.0, 10.0))
        write_series(
            source / str(number), hu.clip(-1024), affine, patient=patient, study="1.2", series=f"1.2.{number + 3}"
        )
    (source / "README").write_text("an export", encoding="utf-8")
    pack(source, path)


def test_archives_are_cases_by_the_rule_and_with_the_codes_of_folders(tmp_path, cohort):
    write_archive(tmp_path / "one.zip", ("A", chest(0), 3.0), ("A", chest(1)[::2], 6.0))
    write_archive(tmp_path / "two.tgz", ("B", chest(2), 3.0))
    write_archive(tmp_path / "mixed.tar", ("C", chest(3), 3.0), ("D", chest(4), 3.0))
    write_archive(tmp_path / "short.zip", ("E", chest(5)[:4], 3.0))
    write_archive(tmp_path / "none.zip")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "one.zip").read_bytes()[:-100])
    names = ("one.zip", "two.tgz", "mixed.tar", "short.zip", "none.zip", "cut.zip", "gone.tar")
    cases = [
        {"id": name, "path": str(tmp_path / name), "subject": name, "split": "train", "position": position}
        for position, name in enumerate(names)
    ]
    found = run((cases, *cohort[1:]), tmp_path / "results/0000.json")
    assert {name: one.problem.code for name, one in found.refused.items()} == {
        "mixed.tar": "dicom-several-patients",
        "short.zip": "volume-too-short",
        "none.zip": "dicom-no-ct",
        "cut.zip": "archive-unusable",
        "gone.tar": "file-missing",
    }
    for name, seed in (("one.zip", 0), ("two.tgz", 2)):
        np.testing.assert_array_equal(read_case(found.records[name].facts).hu, chest(seed).clip(-1024))
    shutil.copy(tmp_path / "two.tgz", tmp_path / "gone.tar")  # named as another kind, and there at last
    again = run((cases, *cohort[1:]), tmp_path / "results/0000.json")
    assert again.records["gone.tar"].facts.content == again.records["two.tgz"].facts.content
    shutil.copy(tmp_path / "one.zip", tmp_path / "two.tgz")
    with pytest.raises(CaseError):  # another file than that of the inventory
        read_case(again.records["two.tgz"].facts)
