from pathlib import Path

import pytest
import torch

from medsyn2.training.engine.checkpoint import Checkpoint, latest_checkpoint, remove_before, save_checkpoint


def save_steps(folder: Path, *steps: int, identity: str = "a") -> None:
    for step in steps:
        save_checkpoint(folder, Checkpoint(step, {"net/average/weight": torch.tensor([float(step)])}), identity)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept_and_the_last_is_used(tmp_path: Path) -> None:
    save_steps(tmp_path, 10, 20, 30)
    assert names(tmp_path) == [f"step_{step:08d}.{end}" for step in (20, 30) for end in ("json", "safetensors")]
    found = latest_checkpoint(tmp_path, "a", 100)
    assert found is not None
    assert found.step == 30
    assert found.part("net/average")["weight"].item() == 30.0
    assert found.part("net") == {"average/weight": torch.tensor([30.0])}
    assert found.part("ne") == {}


def test_a_longer_training_s_checkpoint_is_not_used_for_a_shorter_one(tmp_path: Path) -> None:
    save_steps(tmp_path, 10, 20)
    found = latest_checkpoint(tmp_path, "a", 15)
    assert found is not None
    assert found.step == 10
    assert len(names(tmp_path)) == 4


def test_a_shorter_training_keeps_its_own_last_two_and_those_of_the_longer_one(tmp_path: Path) -> None:
    save_steps(tmp_path, 20, 30)
    save_steps(tmp_path, 4, 8, 12)
    assert names(tmp_path)[::2] == [f"step_{step:08d}.json" for step in (8, 12, 20, 30)]


@pytest.mark.parametrize("name", ["step_00000020.json", "step_00000020.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, name: str, damage: str) -> None:
    save_steps(tmp_path, 10, 20)
    whole = (tmp_path / name).read_bytes()
    if damage == "cut":
        (tmp_path / name).write_bytes(whole[:-2])
    elif damage == "flip":
        (tmp_path / name).write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    else:
        (tmp_path / name).unlink()
    found = latest_checkpoint(tmp_path, "a", 100)
    assert found is not None
    assert found.step == 10
    assert names(tmp_path) == ["step_00000010.json", "step_00000010.safetensors"]


def test_another_training_s_are_removed(tmp_path: Path) -> None:
    save_steps(tmp_path, 10, 20, identity="b")
    assert latest_checkpoint(tmp_path, "a", 100) is None
    assert names(tmp_path) == []


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "none", "a", 100) is None


def test_a_finished_training_keeps_its_last_and_those_after_it(tmp_path: Path) -> None:
    save_steps(tmp_path, 20, 30)
    remove_before(tmp_path, 30)
    save_steps(tmp_path, 5, 10)
    remove_before(tmp_path, 10)
    assert names(tmp_path)[::2] == ["step_00000010.json", "step_00000030.json"]
