"""The workflow tracks the files of a cohort: a changed one re-runs its shard, an unchanged cohort nothing."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine

from .conftest import TINY, Workflow, shards_by_rule

TARGETS = ("results/inventory/0000.json", "results/inventory/0001.json")


def write_chest(path: Path, seed: int) -> None:
    """Write a box with two holes of air, in noise."""
    hu = np.full((36, 32, 34), -1000.0)
    hu[:, 6:28, 4:31] = 40
    hu[2:-2, 10:22, 7:14] = -850
    noisy = np.rint(hu + np.random.default_rng(seed).normal(0, 15, hu.shape)).astype(np.int16)
    write_ct(path, CTVolume(noisy, axis_aligned_affine((3.0, 4.0, 4.0), (-60.0, -50.0, 10.0))))


def workflow_of(folder: Path, names: Sequence[str], **cohort: object) -> Workflow:
    """A workflow on chests of these names, two a shard."""
    (folder / "cts").mkdir()
    for index, name in enumerate(names):
        write_chest(folder / f"cts/{name}.nii.gz", index)
    override = folder / "mine.yaml"
    override.write_text(json.dumps({"cohort": {"data_dir": "cts", "shard_size": 2, **cohort}}), encoding="utf-8")
    return Workflow(folder, (TINY, override))


def records(folder: Path, shard: str) -> dict[str, dict[str, object]]:
    """The inventory's records of a shard, by case."""
    manifest = json.loads((folder / f"results/inventory/{shard}.json").read_text("utf-8"))
    return {record["case"]: record for record in manifest["cases"]}


def test_a_changed_file_reruns_its_shard_and_a_touched_one_changes_nothing(tmp_path: Path) -> None:
    workflow = workflow_of(tmp_path, "abcd")
    damaged = tmp_path / "cts/c.nii.gz"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-30])
    (tmp_path / "cts/note.txt").touch()
    said = workflow.run(*TARGETS)
    assert "not looked at: 1 .txt" in said
    assert records(tmp_path, "0001")["c"]["problem"]["code"] == "gzip-truncated"
    assert workflow.planned(*TARGETS) == {}

    os.utime(damaged, ns=(1, 1))
    before = (tmp_path / TARGETS[1]).read_bytes()
    assert shards_by_rule(workflow.run(*TARGETS)) == {"inventory": {"0001"}}
    assert (tmp_path / TARGETS[1]).read_bytes() == before

    kept = (tmp_path / "results/inventory/0001/d.json").stat().st_mtime_ns
    damaged.write_bytes(whole)
    os.utime(damaged, ns=(1, 1))
    assert shards_by_rule(workflow.run(*TARGETS)) == {"inventory": {"0001"}}
    assert records(tmp_path, "0001")["c"]["status"] == "ok"
    assert (tmp_path / "results/inventory/0001/d.json").stat().st_mtime_ns == kept
    assert workflow.planned(*TARGETS) == {}

    (tmp_path / "cts/more").mkdir()
    shutil.copy(tmp_path / "cts/a.nii.gz", tmp_path / "cts/more/c.nii.gz")
    # Two files are called c now, which rows of tables have to tell apart: the shard of the first is looked at too.
    assert workflow.planned("results/inventory/0002.json", *TARGETS) == {"inventory": {"0001", "0002"}}
    workflow.run("results/inventory/0002.json")
    (copied,) = records(tmp_path, "0002").values()
    assert copied["problem"]["code"] == "file-repeated"
    assert "cts/a.nii.gz" in copied["problem"]["message"]


def test_a_changed_mask_segments_its_shard_again_and_an_inventory_of_the_same_bytes_nothing(tmp_path: Path) -> None:
    workflow = workflow_of(tmp_path, "abcdef")
    whole = json.loads(workflow.configs[1].read_text("utf-8"))
    whole["segment"] = {"tools": {"heart": "files"}, "mask_files": "masks/{case}_{structure}.nii.gz"}
    workflow.configs[1].write_text(json.dumps(whole), encoding="utf-8")
    targets = [f"results/segment/{shard}.json" for shard in ("0000", "0001")]
    workflow.run(*TARGETS)
    for name in ("template/template", "register/0000", "register/0001"):
        path = tmp_path / f"results/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"stage": "of an earlier run", "cases": []}', encoding="utf-8")
    workflow.run(*targets)
    assert workflow.planned(*targets) == {}
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/c_heart.nii.gz").touch()
    assert workflow.planned(*targets) == {"segment": {"0001"}}
    (tmp_path / "masks/c_heart.nii.gz").unlink()

    (tmp_path / "cts/c.nii.gz").touch()
    workflow.run(*TARGETS)
    said = workflow.run("-n", "--allowed-rules", "inventory", "segment", "--", *targets)
    assert "Nothing to be done" in said  # the manifest is of the same bytes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("abc", "2 cases in the test split, got 1 of 3"),
        ([f"valid_{number}_a_1" for number in (1, 2, 3)], "1 cases in the train split, got 0 of 3"),
    ],
)
def test_a_cohort_that_cannot_be_evaluated_is_refused_when_planned_and_can_be_prepared(
    tmp_path: Path, names: Sequence[str], message: str
) -> None:
    workflow = workflow_of(tmp_path, names, test_every=2)
    result = subprocess.run(workflow.command("-n", "all"), capture_output=True, encoding="utf-8", check=False)
    assert result.returncode != 0
    assert message in result.stdout + result.stderr
    assert set(workflow.planned("results/masks/0000.json")) == {"inventory", "template", "register", "segment", "masks"}
