"""Both public weight files are told apart by their names, loaded strictly and preprocessed each in its way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medsyn2.errors import WeightsError
from medsyn2.evaluation.features.radimagenet import RadImageNet, load_radimagenet, recognise_form
from medsyn2.evaluation.features.resnet import KERAS, TORCH, ResNet50Features
from medsyn2.files import sha256_of
from medsyn2.weights.tensors import save_component

CHILDREN = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
SLICES = np.random.default_rng(0).random((3, 40, 36)).astype(np.float32)


@pytest.fixture(scope="module")
def keras_file() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = ResNet50Features(KERAS).state_dict()
    return {name: tensor for name, tensor in state.items() if "num_batches" not in name}


@pytest.fixture(scope="module")
def torch_file() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        state = ResNet50Features(TORCH).state_dict()
    return {
        f"backbone.{CHILDREN[name.split('.')[0]]}.{name.split('.', 1)[1]}": tensor for name, tensor in state.items()
    }


def test_each_file_gives_its_own_form(keras_file, torch_file) -> None:
    assert recognise_form(keras_file, source="a")[0] is KERAS
    assert recognise_form(torch_file, source="b")[0] is TORCH
    names = {RadImageNet(state, sha256="0", source="file").name for state in (keras_file, torch_file)}
    assert names == {"radimagenet_resnet50(keras)", "radimagenet_resnet50(torch)"}


def test_keras_form_takes_channels_minus_the_mean_in_bgr(keras_file) -> None:
    network = ResNet50Features(KERAS)
    network.load_state_dict(recognise_form(keras_file, source="a")[1])
    channels = torch.from_numpy(SLICES)[:, None].repeat(1, 3, 1, 1)
    expected = network(channels - torch.tensor([0.406, 0.456, 0.485])[:, None, None])
    found = RadImageNet(keras_file, sha256="0", source="a")(SLICES)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_torch_form_takes_minus_one_to_one(torch_file) -> None:
    network = ResNet50Features(TORCH)
    network.load_state_dict(recognise_form(torch_file, source="a")[1])
    expected = network(torch.from_numpy(SLICES)[:, None].repeat(1, 3, 1, 1) * 2 - 1)
    found = RadImageNet(torch_file, sha256="0", source="a")(SLICES)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_is_read_from_safetensors_with_its_hash(keras_file, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(keras_file, path)
    assert load_radimagenet(path).sha256 == sha256_of(path)


def test_other_weights_than_the_description_records_are_refused(keras_file, tmp_path: Path) -> None:
    description = tmp_path / "radimagenet.json"
    save_component(description, keras_file, kind="radimagenet", config={})
    path = tmp_path / "radimagenet.safetensors"
    assert load_radimagenet(path).sha256 == sha256_of(path)
    save_file({**keras_file, "conv1.bias": keras_file["conv1.bias"] + 1}, path)
    with pytest.raises(WeightsError, match="weights-damaged"):
        load_radimagenet(path)


def test_missing_foreign_and_incomplete_files_are_refused(keras_file, torch_file, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="weights-missing"):
        load_radimagenet(tmp_path / "none.safetensors")
    (tmp_path / "pickled.pt").write_bytes(b"PK\x03\x04 not tensors")
    with pytest.raises(WeightsError, match="weights-unreadable"):
        load_radimagenet(tmp_path / "pickled.pt")
    with pytest.raises(WeightsError, match=r"weights-layout.*neither names"):
        recognise_form({"fc.weight": torch.zeros(1)}, source="x")
    for state, name in ((keras_file, "layer4.2.conv3.bias"), (torch_file, "backbone.7.2.conv3.weight")):
        less = {key: value for key, value in state.items() if key != name}
        with pytest.raises(WeightsError, match=r"1 missing: layer4\.2\.conv3"):
            RadImageNet(less, sha256="0", source="x")
        with pytest.raises(WeightsError, match="1 unexpected"):
            RadImageNet({**state, f"{name}x": state[name]}, sha256="0", source="x")
