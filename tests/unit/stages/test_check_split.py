"""The same voxels in both splits stop the run before anything is trained, however they came there."""

import json
import random
from pathlib import Path

import pytest

from benchmarks.faults_rows.folders import PATIENTS, make_cohort, problem_of, splits_of, take_inventory
from medsyn2.cohort.plan import plan_run
from medsyn2.config import validate_config
from medsyn2.errors import EnvironmentFault
from medsyn2.facts import InventoryFacts
from medsyn2.stages.check_split import check_split
from tests.unit.records import inventory_facts, write_shard

Facts = dict[str, InventoryFacts]


def shard(folder: Path, number: int, facts: Facts) -> Path:
    """Write the manifest of a shard."""
    path = folder / f"{number:04d}.json"
    write_shard(path, InventoryFacts, list(facts), lambda case, _: facts[case])
    return path


def check(folder: Path, *shards: Facts) -> list[list[str]]:
    """Check these shards and return the repeated scans."""
    inventories = [shard(folder, number, facts) for number, facts in enumerate(shards)]
    check_split(inventory=inventories, split=folder / "split.json", settings="")
    return json.loads((folder / "split.json").read_text("utf-8"))["repeated"]


def test_a_scan_of_both_splits_in_two_shards_is_refused_with_its_files(tmp_path: Path) -> None:
    one = inventory_facts(split="train", image="x", path="a.nii.gz")
    with pytest.raises(EnvironmentFault, match=r"split-leak.*a\.nii\.gz \(train\) and b\.nii \(test\)"):
        check(tmp_path, {"a": one}, {"b": inventory_facts(split="test", image="x", path="b.nii")})
    assert not (tmp_path / "split.json").exists()


def test_a_scan_twice_in_one_split_is_said_and_distinct_ones_pass(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = {name: inventory_facts(image=name, path=name) for name in "ab"}
    assert check(tmp_path, facts) == []
    assert not caplog.records
    assert check(tmp_path, facts, {"c": inventory_facts(image="a", path="c")}) == [["a", "c"]]
    assert "a and c hold the same voxels" in caplog.text


@pytest.mark.parametrize("seed", range(12))
def test_no_patient_is_in_both_splits_of_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Either the splits keep patients apart, or the run stops before anything is trained."""
    monkeypatch.chdir(tmp_path)
    settings, patients = make_cohort(tmp_path, random.Random(seed))
    inventories = take_inventory(plan_run(validate_config({"cohort": settings}, source="test")), tmp_path)
    splits = splits_of(inventories, patients)
    assert len(splits) == PATIENTS
    divided = any(len(found) > 1 for found in splits.values())
    assert problem_of(inventories, tmp_path) == ("split-leak" if divided else "")
