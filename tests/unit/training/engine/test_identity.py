import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from medsyn2.errors import EnvironmentFault
from medsyn2.training.engine.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from medsyn2.training.engine.identity import Identity, claim_checkpoints, identity_of


def identity(files: str = "x", version: int = 1, **training: float) -> Identity:
    section = {"seed": 0, "num_steps": 10, "checkpoint_every": 5, "num_workers": 0, **training}
    return identity_of(json.dumps({"train_dit": section, "version": version}), "train_dit", [files])


def save(folder: Path, step: int, owner: Identity) -> None:
    save_checkpoint(folder, Checkpoint(step, {"weight": torch.zeros(1000)}), owner.sha256)


def train(root: Path, owner: Identity, *steps: int) -> None:
    with claim_checkpoints(root, owner, steps[-1]) as folder:
        for step in steps:
            save(folder, step, owner)


def test_the_identity_depends_on_all_but_the_length() -> None:
    assert identity(num_steps=20, checkpoint_every=1, num_workers=3).sha256 == identity().sha256
    assert len({one.sha256 for one in (identity(), identity(seed=1), identity(version=2), identity("y"))}) == 4


def test_each_identity_keeps_its_checkpoints_and_the_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second, third = identity(), identity(seed=1), identity("y")
    train(tmp_path, first, 5, 10)
    train(tmp_path, second, 3)
    assert f"identity {first.name} (steps 5, 10; 0.0 MB): kept, with train_dit.seed 0 instead of 1" in caplog.text
    assert f"remove it with: rm -r {tmp_path / first.name}" in caplog.text
    train(tmp_path, third, 2)
    kept = (tmp_path / "kept.txt").read_text("utf-8")
    assert f"identity {third.name} (step 2; 0.0 MB): the last training" in kept
    assert f"identity {second.name} (step 3; 0.0 MB): kept, with train_dit.seed 1 instead of 0, other inputs" in kept
    with claim_checkpoints(tmp_path, first, 10) as folder:
        found = latest_checkpoint(folder, first.sha256, 10)
        assert found is not None
        assert found.step == 10


def test_checkpoints_of_an_earlier_version_are_sorted_by_identity(tmp_path: Path) -> None:
    first, second = identity(), identity(seed=1)
    save(tmp_path, 4, first)
    save(tmp_path, 8, second)
    (tmp_path / "step_00000009.json").write_text("damaged", encoding="utf-8")
    with claim_checkpoints(tmp_path, first, 10) as folder:
        assert latest_checkpoint(folder, first.sha256, 10).step == 4
    assert latest_checkpoint(tmp_path / second.name, second.sha256, 10).step == 8
    assert [path.name for path in tmp_path.glob("step_*")] == ["step_00000009.json"]


OTHER = """
import sys
from pathlib import Path
from medsyn2.training.engine.identity import Identity, claim_checkpoints

with claim_checkpoints(Path(sys.argv[1]), Identity("0" * 64, {}, ""), 9):
    print("holding", flush=True)
    sys.stdin.readline()
"""


def test_a_training_of_another_identity_at_work_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "holding\n"
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=f"in use by process {other.pid} on") as caught:
        train(tmp_path, identity(), 1)
    assert caught.value.code == "used-otherwise"
    assert f"kill {other.pid} on" in caught.value.remedy
    assert time.monotonic() - began < 30
    assert not (tmp_path / identity().name).exists()
    other.kill()
    other.communicate()
    train(tmp_path, identity(), 1)


def test_further_processes_of_a_training_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RANK", "1")
    with claim_checkpoints(tmp_path / "checkpoints", identity(), 1) as folder:
        assert folder.parent == tmp_path / "checkpoints"
    assert list(tmp_path.iterdir()) == []
