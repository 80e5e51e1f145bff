"""The plan of a run: shards, the parameters of rules that read users' files, and the order that is kept."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from medsyn2.cohort.plan import KEPT_FILE, ORDER_FILE, RunPlan, manifests, plan_job, plan_run
from medsyn2.config import validate_config
from medsyn2.errors import ConfigError
from tests.series import write_series


def plan(**cohort: object) -> RunPlan:
    """Plan a run with this cohort."""
    return plan_run(validate_config({"cohort": cohort}, source="test"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a run, the working directory, with four files as its cohort."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cts").mkdir()
    for name in "abcd":
        (tmp_path / f"cts/{name}.nii.gz").write_bytes(name.encode() * 100)
    return tmp_path


def given(**cohort: object) -> RunPlan:
    """Plan a run with the files of `folder`, two a shard."""
    return plan(data_dir="cts", shard_size=2, test_every=2, **cohort)


def test_phantoms_have_shards_and_splits_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = plan(num_phantoms=5, shard_size=2, test_every=5)
    assert found.has_phantoms
    assert found.shards == ["0000", "0001", "0002"]
    assert found.shards_with("test") == ["0002"]
    assert (found.num_cases("train"), found.num_cases("test")) == (4, 1)
    assert found.tables("reports", "0001") == ["results/phantoms/0001_reports.csv"]
    assert found.tables("metadata", "0001") == []
    assert found.notes() == []
    assert list(tmp_path.iterdir()) == []


def test_user_s_tables_are_the_given_files_of_every_shard(folder: Path) -> None:
    for name in ("one.csv", "two.csv"):
        (folder / name).touch()
    for named in ("one.csv", ["one.csv"], ["one.csv", "two.csv"]):
        found = given(reports_csv=named)
        assert found.tables("reports", "0000") == found.tables("reports", "0001")
        assert found.tables("reports", "0000") == ([named] if isinstance(named, str) else named)
    assert found.tables("labels", "0000") == []
    with pytest.raises(ConfigError, match=r"cohort\.labels_csv names three\.csv"):
        given(labels_csv=["one.csv", "three.csv"]).tables("labels", "0000")


def test_changed_file_changes_the_state_of_its_shard_alone(folder: Path) -> None:
    found = given()
    assert found.shards == ["0000", "0001"]
    before = [(found.file_state(shard), found.cases(shard)) for shard in found.shards]
    (folder / "cts/c.nii.gz").write_bytes(b"other")
    after = [(found.file_state(shard), found.cases(shard)) for shard in found.shards]
    assert before[0] == after[0]
    assert before[1][0] != after[1][0]
    assert before[1][1] == after[1][1]


def test_inventory_is_told_of_copies(folder: Path) -> None:
    (folder / "cts/d.nii.gz").write_bytes(b"a" * 100)
    cases = json.loads(given().inventory_cases("0001"))
    assert [case["same_as"] for case in cases] == [None, "cts/a.nii.gz"]
    assert [case["same_as"] for case in json.loads(given().cases("0001"))] == [None, None]


def test_inventory_is_told_of_further_reconstructions_and_of_names_that_several_files_have(folder: Path) -> None:
    for name in ("train_1_a_1", "train_1_a_2", "p1/ct", "p2/ct"):
        (folder / f"cts/{name}.nii.gz").parent.mkdir(exist_ok=True)
        (folder / f"cts/{name}.nii.gz").write_bytes(name.encode())
    plan = given()
    cases = {case["id"]: case for shard in plan.shards for case in json.loads(plan.inventory_cases(shard))}
    assert cases["train_1_a_1"]["later"] == ["cts/train_1_a_2.nii.gz"]
    assert sorted(case["key"] for case in cases.values() if "key" in case) == ["p1/ct", "p2/ct"]
    assert "later" not in cases["a"]
    (shard,) = (shard for shard in plan.shards if "train_1_a_1" in plan.cases(shard))
    before = plan.file_state(shard)
    (folder / "cts/train_1_a_2.nii.gz").write_bytes(b"other")
    assert given().file_state(shard) != before


def test_mask_of_a_case_changes_its_shard(folder: Path) -> None:
    settings = {"tools": {"heart": "files"}, "mask_files": "masks/{case}_{structure}.nii.gz"}
    values = {"cohort": {"data_dir": "cts", "shard_size": 2}, "segment": settings}
    found = plan_run(validate_config(values, source="test"))
    before = [found.mask_state(shard) for shard in found.shards]
    (folder / "masks").mkdir()
    (folder / "masks/d_heart.nii.gz").touch()
    after = [found.mask_state(shard) for shard in found.shards]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_order_is_written_once_and_keeps_the_places_of_cases(folder: Path) -> None:
    first = given()
    first.save()
    (folder / "cts/0.nii.gz").touch()
    second = given()
    assert second.listing.known == first.listing.order
    assert list(second.listing.order) == ["a", "b", "c", "d", "0"]
    stamp = ORDER_FILE.stat().st_mtime_ns
    first_again = given()
    assert ORDER_FILE.stat().st_mtime_ns == stamp
    first_again.save()
    assert given().listing.known == second.listing.order


def parameters_of(found: RunPlan) -> list[list[str]]:
    """Return the parameters of all shards that jobs get from a plan."""
    return [[found.cases(name), found.inventory_cases(name), found.file_state(name)] for name in found.shards]


def test_a_job_takes_the_cases_that_its_run_started_with_and_lists_no_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"cts/no \xff utf-8.nii.gz")
    Path(odd).write_bytes(b"a" * 100)
    for name in ("train_1_a_1", "train_1_a_2"):  # a scan and its further reconstruction
        (folder / f"cts/{name}.nii.gz").write_bytes(name.encode())
    started = given()
    started.save()
    assert "same_as" in started.inventory_cases(started.shards[-1])
    (folder / "cts/new.nii.gz").touch()
    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", None)
        job = plan_job(started.config)
    assert job.shards == started.shards
    assert parameters_of(job) == parameters_of(started)
    assert odd in {case.path for cases in job.cohort.shards.values() for case in cases}
    assert job.shards_with("train") == started.shards_with("train")
    assert job.template_shards == started.template_shards
    assert job.notes() == []
    assert parameters_of(given()) != parameters_of(started)  # the next run takes the new file


@pytest.mark.parametrize("kept", ["none", "of another cohort", "damaged"])
def test_a_job_lists_the_files_where_no_start_left_them(folder: Path, kept: str) -> None:
    if kept != "none":
        (given(exclude_dirs=["masks"]) if kept == "of another cohort" else given()).save()
    if kept == "damaged":
        KEPT_FILE.write_text(KEPT_FILE.read_text("utf-8").replace("cts/a", "cts/b"), encoding="utf-8")
    (folder / "cts/new.nii.gz").touch()
    assert parameters_of(plan_job(given().config)) == parameters_of(given())


def test_files_that_are_not_looked_at_are_counted(folder: Path) -> None:
    assert given().notes() == []
    (folder / "cts/note.txt").touch()
    assert given().notes() == ["cts holds files that are not looked at: 1 .txt"]


def test_template_takes_the_first_shards_with_enough_training_cases(folder: Path) -> None:
    values = {"cohort": {"data_dir": "cts", "shard_size": 2, "test_every": 4}, "template": {"num_cases": 2}}
    assert plan_run(validate_config(values, source="test")).template_shards == ["0000"]


def test_manifests_are_named_after_stage_and_shard() -> None:
    assert manifests("{variant}sample", ["0001"]) == ["results/{variant}sample/0001.json"]


def test_small_volumes_are_measured_in_one_job_and_large_ones_a_shard_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = plan(num_phantoms=40)
    assert few.batches() == few.batches("test") == {"0000": ["0000", "0001"]}

    def large(side: int) -> RunPlan:
        cohort = {"num_phantoms": 48, "shard_size": 12, "test_every": 4}
        grid = {"shape": [side] * 3, "spacing_mm": [0.7] * 3}
        return plan_run(validate_config({"cohort": cohort, "grid": grid}, source="test"))

    found = large(448)
    assert found.batches() == {shard: [shard] for shard in found.shards}
    # Six cases of 288 x 288 x 288 are as many voxels as a job takes at least, and a shard holds three held-out ones.
    assert large(288).batches("test") == {"0000": ["0000", "0001"], "0002": ["0002", "0003"]}


def test_the_first_batches_hold_as_many_cases_as_are_asked_for(folder: Path) -> None:
    found = given()  # a, c are trained on, b, d are held out; two files a shard
    batches = {shard: [shard] for shard in found.shards}
    assert found.first_batches(batches, "test", None) == ["0000", "0001"]
    assert found.first_batches(batches, "test", 1) == ["0000"]
    assert found.first_batches(batches, "test", 2) == found.first_batches(batches, "train", 9) == ["0000", "0001"]
    assert found.first_batches({}, "train", None) == []


def archive(root: Path, patients: Sequence[str]) -> None:
    """Write a study of each patient, a folder a visit."""
    for number, patient in enumerate(patients):
        series = f"1.{number}.1"
        write_series(root / f"visit {number}", patient=patient, study=f"1.{number}", series=series, only=[0, 1])


def test_the_patients_of_dicom_studies_decide_the_splits_and_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "cts", "ABCADB")
    found = plan(data_dir="cts", test_every=2)
    cases = [case for cases in found.cohort.shards.values() for case in cases]
    splits = {case.id: case.split for case in cases}
    assert [case.split for case in cases] == ["train", "test", "train", "train", "test", "test"]
    assert len({case.subject for case in cases}) == 4
    assert all(case.subject.startswith("patient-") for case in cases)
    found.save()
    text = "".join(path.read_text("utf-8") for path in (tmp_path / "results/inventory").iterdir())
    assert "visit" in text
    shutil.rmtree(tmp_path / "cts/visit 1")  # patient B's first visit, whose rank the others keep
    later = [case for cases in plan(data_dir="cts", test_every=2).cohort.shards.values() for case in cases]
    gone = cases[1].id
    assert {case.id: case.split for case in later} == {name: splits[name] for name in splits if name != gone}


def test_a_study_without_a_patient_is_a_subject_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "cts", ["ANON", "ANON"])
    found = plan(data_dir="cts")
    assert len({case.subject for cases in found.cohort.shards.values() for case in cases}) == 2
