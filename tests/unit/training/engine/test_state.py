import pytest
import torch
from torch import nn

from medsyn2.training.engine.state import MovingAverage


def constant(value: float, dtype: torch.dtype = torch.float32) -> nn.Module:
    network = nn.BatchNorm1d(1, dtype=dtype)
    with torch.no_grad():
        network.weight.fill_(value)
        network.bias.fill_(-value)
    return network


def test_constant_weights_give_the_closed_form() -> None:
    average = MovingAverage(constant(0.0), decay=0.9)
    target, expected = constant(1.0), 0.0
    for step in range(1, 200):
        average.update(target, step)
        kept = min(0.9, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept)
    assert average.tensors["weight"].item() == pytest.approx(expected, rel=1e-5)
    assert average.tensors["bias"].item() == pytest.approx(-expected, rel=1e-5)


def test_the_warm_up_forgets_the_first_weights() -> None:
    average = MovingAverage(constant(1.0), decay=0.9999)
    for step in range(1, 101):
        average.update(constant(0.0), step)
    assert average.tensors["weight"].item() < 1e-3
    assert 0.9999**100 > 0.99


def test_buffers_are_copied() -> None:
    average = MovingAverage(constant(0.0), decay=0.9)
    target = constant(0.0)
    target(torch.randn(8, 1))
    average.update(target, 1)
    assert torch.equal(average.tensors["running_mean"], target.running_mean)
    assert average.tensors["num_batches_tracked"] == 1


def test_the_average_of_a_bfloat16_network_is_float32() -> None:
    average = MovingAverage(constant(1.0, torch.bfloat16), decay=0.999)
    for step in range(10_000, 10_100):
        average.update(constant(1.0078125, torch.bfloat16), step)
    assert average.tensors["weight"].dtype == torch.float32
    assert 1.0 < average.tensors["weight"].item() < 1.0078125


def test_it_does_not_follow_the_network_by_itself() -> None:
    network = constant(1.0)
    average = MovingAverage(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(5.0)
    assert average.tensors["weight"].item() == 1.0


def test_loading_goes_on_from_there() -> None:
    first, second = MovingAverage(constant(0.0), 0.9), MovingAverage(constant(7.0), 0.9)
    first.update(constant(1.0), 1)
    second.load(first.tensors)
    first.update(constant(1.0), 2)
    second.update(constant(1.0), 2)
    assert torch.equal(first.tensors["weight"], second.tensors["weight"])
