"""A model in float16: half the bytes, the same numbers once rounded, and its own identity."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medsyn2 import MedSyn2Pipeline
from medsyn2.errors import ConfigError, WeightsError
from medsyn2.weights.half import halve_model, halve_tensors
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.networks import load_dit, load_tokenizer
from tests.unit.conftest import write_tiny_model


@pytest.fixture(scope="module")
def halved(tiny_model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("half") / "model"
    halve_model(tiny_model, folder)
    return folder


def test_every_tensor_is_float16_on_disk_and_is_read_exactly(halved: Path, tiny_model: Path) -> None:
    files = sorted(halved.rglob("*.safetensors"))
    assert len(files) == 3
    assert {tensor.dtype for file in files for tensor in load_file(file).values()} == {torch.float16}
    assert sum(file.stat().st_size for file in files) < 0.6 * sum(
        (tiny_model / file.relative_to(halved)).stat().st_size for file in files
    )
    for load, name in ((load_dit, "dit"), (load_tokenizer, "tokenizer")):
        found, before = load(halved / f"{name}.json").state_dict(), load(tiny_model / f"{name}.json").state_dict()
        assert all(found[key].dtype == torch.float32 for key in found)
        assert all(torch.equal(found[key], before[key].half().float()) for key in before)


def test_it_is_another_model_of_the_same_description(halved: Path, tiny_model: Path) -> None:
    found, before = read_description(halved), read_description(tiny_model)
    assert found.fingerprint != before.fingerprint
    assert replace(found, files=before.files, fingerprint=before.fingerprint) == before
    assert set(found.files) == set(before.files)
    assert found.fingerprint in (halved / "README.md").read_text("utf-8")


def test_same_model_gives_same_bytes(halved: Path, tiny_model: Path, tmp_path: Path) -> None:
    halve_model(tiny_model, tmp_path / "again")
    assert (tmp_path / "again/model.json").read_bytes() == (halved / "model.json").read_bytes()


def test_volumes_differ_by_the_rounding_alone(halved: Path, tiny_model: Path) -> None:
    made = [MedSyn2Pipeline.from_pretrained(folder)(seed=1).volume.hu.astype(float) for folder in (halved, tiny_model)]
    assert 0 < abs(made[0] - made[1]).mean() < 0.1 * made[1].std()


def test_a_flipped_bit_is_found(tiny_model: Path, tmp_path: Path) -> None:
    halve_model(tiny_model, tmp_path / "model")
    weights = tmp_path / "model/dit.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="model-damaged"):
        MedSyn2Pipeline.from_pretrained(tmp_path / "model")


def test_values_too_large_are_refused_and_whole_numbers_stay() -> None:
    found = halve_tensors({"whole": torch.tensor([100_000]), "real": torch.tensor([0.1])}, Path("a"))
    assert found["whole"].tolist() == [100_000]
    with pytest.raises(WeightsError, match="weights-overflow"):
        halve_tensors({"large": torch.tensor([1e6])}, Path("a"))


def test_a_folder_with_content_is_not_touched(tiny_model: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "taken")
    with pytest.raises(ConfigError, match="output-taken"):
        halve_model(tiny_model, tmp_path / "taken")
