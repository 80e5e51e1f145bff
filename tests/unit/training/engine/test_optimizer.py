import pytest
import torch
from torch import nn

from medsyn2.training.engine.optimizer import (
    AdamSettings,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)


def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    network(torch.randn(5, 3)).square().mean().backward()
    optimizer.step()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def test_without_weight_decay_it_is_adam() -> None:
    first, second = network(), network()
    ours = make_optimizer(first.parameters(), AdamSettings(1e-2))
    adam = torch.optim.Adam(second.parameters(), lr=1e-2)
    for seed in range(5):
        step(first, ours, seed)
        step(second, adam, seed)
    assert torch.equal(first.weight, second.weight)


def test_the_learning_rate_rises_linearly_and_stays() -> None:
    settings = AdamSettings(1.0, warmup_steps=4)
    assert [settings.rate_at(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert AdamSettings(0.5).rate_at(0) == 0.5


def test_saved_moments_give_the_same_next_step() -> None:
    first = network()
    optimizer = make_optimizer(first.parameters(), AdamSettings(1e-2, betas=(0.8, 0.9), weight_decay=0.1))
    for seed in range(3):
        step(first, optimizer, seed)
    second = network()
    second.load_state_dict(first.state_dict())
    other = make_optimizer(second.parameters(), AdamSettings(1e-2, betas=(0.8, 0.9), weight_decay=0.1))
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    assert sorted(saved) == [f"{n}/{key}" for n in range(2) for key in ("exp_avg", "exp_avg_sq", "step")]
    load_optimizer_tensors(other, saved)
    for one, one_optimizer in ((first, optimizer), (second, other)):
        set_learning_rate(one_optimizer, 3e-3)
        step(one, one_optimizer, 9)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_an_optimizer_that_made_no_step_has_nothing_to_save() -> None:
    optimizer = make_optimizer(network().parameters(), AdamSettings(1e-2))
    assert optimizer_tensors(optimizer) == {}
    load_optimizer_tensors(optimizer, {})
