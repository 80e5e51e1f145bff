import copy

import pytest
import torch

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.device import available_device, move, prefers_channels_last
from medsyn2.nn.machine import Machine


def test_a_device_is_known_by_its_name() -> None:
    assert available_device("cpu") == available_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gpu", "device-unknown"),
        ("CPU", "device-unknown"),
        (None, "device-unknown"),
        ("cuda:99", "device-missing"),
        ("mps:7", "device-missing"),
        ("vulkan", "device-missing"),
        ("meta", "device-missing"),
    ],
)
def test_another_name_is_named(name: str | None, code: str) -> None:
    with pytest.raises(ConfigError, match=rf"{code}.*{name}"):
        available_device(name)


def test_the_tokenizer_does_the_same() -> None:
    torch.manual_seed(0)
    plain = CausalVideoVAE(hidden_channels=8, num_res_blocks=1, norm_groups=4)
    moved = copy.deepcopy(plain)
    move(moved, torch.device("cpu"))
    volume = torch.rand(1, 1, 8, 32, 32) * 2 - 1
    outputs = [network.decode(network.encode(volume).mode()) for network in (plain, moved)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-5)
    for output in outputs:
        output.square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), moved.parameters(), strict=True):
        assert one.grad is not None, name
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-5)
        assert torch.equal(one, other)


def test_weights_of_convolutions_lie_channels_last() -> None:
    network = torch.nn.Sequential(torch.nn.Conv3d(4, 8, 3), torch.nn.Conv2d(4, 8, 3), torch.nn.Linear(4, 4))
    move(network, torch.device("cpu"))
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert network[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[2].weight.is_contiguous()


@pytest.mark.parametrize(
    ("machine", "ordered"),
    [
        (Machine("cuda", (2, 13), (9, 0)), True),
        (Machine("cuda", (2, 13), (8, 0)), True),
        (Machine("cuda", (2, 13), (7, 5)), False),
        (Machine("mps", (2, 13)), False),
    ],
)
def test_the_order_of_described_devices(machine: Machine, ordered: bool) -> None:
    assert prefers_channels_last(machine) == ordered
