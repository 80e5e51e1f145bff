"""The network's file is found in the released folder among files that are none."""

from pathlib import Path

import pytest

from medsyn2.weights.conversion.dit import network_file


@pytest.mark.parametrize("inside", [".", "final_ckpt"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_folder_may_be_given_itself_or_the_one_around_it(tmp_path: Path, inside: str, name: str) -> None:
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    for other in ("optimizer.bin", "scaler.pt", "random_states_0.pkl", name):
        (folder / other).touch()
    assert network_file(tmp_path) == folder / name


def test_anything_else_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "optimizer.bin").touch()
    assert network_file(tmp_path) == tmp_path
    assert network_file(tmp_path / "optimizer.bin") == tmp_path / "optimizer.bin"
