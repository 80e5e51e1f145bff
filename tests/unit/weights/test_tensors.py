import json
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from medsyn2.errors import WeightsError
from medsyn2.weights.tensors import load_component, load_strictly, save_component, tensors_path


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, dtype=torch.bfloat16))


def save(folder: Path, seed: int = 0) -> Path:
    path = folder / "net.json"
    save_component(path, network(seed), kind="net", config={"width": 4, "patch": [2, 2]})
    return path


def test_a_round_trip_gives_the_same_bits(tmp_path: Path) -> None:
    config, state = load_component(save(tmp_path), "net")
    expected = network().state_dict()
    assert config == {"width": 4, "patch": (2, 2)}
    assert sorted(state) == sorted(expected)
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a"), save(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert tensors_path(first).read_bytes() == tensors_path(second).read_bytes()


def test_a_state_dict_with_tied_tensors_can_be_saved(tmp_path: Path) -> None:
    tensor = torch.arange(3.0)
    save_component(tmp_path / "tied.json", {"a": tensor, "b": tensor}, kind="tied", config={})
    _, state = load_component(tmp_path / "tied.json", "tied")
    assert torch.equal(state["a"], state["b"])


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = save(tmp_path)
    whole = tensors_path(path).read_bytes()
    draw = random.Random(0)
    for _ in range(50):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        tensors_path(path).write_bytes(damaged)
        with pytest.raises(WeightsError, match="weights-damaged"):
            load_component(path, "net")


def test_a_truncated_file_is_found(tmp_path: Path) -> None:
    path = save(tmp_path)
    tensors_path(path).write_bytes(tensors_path(path).read_bytes()[:-1])
    with pytest.raises(WeightsError, match="weights-damaged"):
        load_component(path, "net")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "net"}', "null"])
def test_a_file_that_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    path = save(tmp_path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match="weights-unreadable"):
        load_component(path, "net")


def test_a_pickle_under_the_right_hash_is_not_loaded(tmp_path: Path) -> None:
    from medsyn2.files import sha256_of

    path = save(tmp_path)
    torch.save(network().state_dict(), tensors_path(path))
    path.write_text(
        json.dumps({"kind": "net", "config": {}, "sha256": sha256_of(tensors_path(path))}), encoding="utf-8"
    )
    with pytest.raises(WeightsError, match="weights-unreadable"):
        load_component(path, "net")


def test_missing_files_and_another_kind_are_named(tmp_path: Path) -> None:
    path = save(tmp_path)
    with pytest.raises(WeightsError, match="weights-kind"):
        load_component(path, "dit")
    with pytest.raises(WeightsError, match="weights-missing"):
        load_component(tmp_path / "none.json", "net")
    tensors_path(path).unlink()
    with pytest.raises(WeightsError, match="weights-missing"):
        load_component(path, "net")


def test_strict_loading_names_every_kind_of_difference(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    state["extra"] = torch.zeros(1)
    del state["0.bias"]
    state["0.weight"] = torch.zeros(4, 5)
    target = network(1)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_strictly(target, state, source="net.json")
    for word in ("missing: 0.bias", "unexpected: extra", "0.weight (4, 5) instead of (4, 3)", "net.json"):
        assert word in caught.value.message
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_strict_loading_gives_the_same_network(tmp_path: Path) -> None:
    target = network(1)
    load_strictly(target, load_component(save(tmp_path), "net")[1], source="net.json")
    for name, tensor in network().state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)
