import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from medsyn2.nn.cost import cost_of, enter_simulation

MIB = 2**20


def test_operations_of_a_product_and_of_attention_by_hand():
    with enter_simulation(), torch.no_grad():
        a, b = torch.empty(300, 40), torch.empty(40, 7)
        assert cost_of(lambda: a @ b).flops == 2 * 300 * 40 * 7
        query, key = torch.empty(2, 3, 50, 8), torch.empty(2, 3, 20, 8)
        attention = cost_of(lambda: F.scaled_dot_product_attention(query, key, key))
        assert attention.flops == 2 * 2 * 2 * 3 * 50 * 20 * 8
        assert attention.peak_bytes < 4 * 2 * 3 * 50 * (8 + 2), "no matrix of scores"


@pytest.mark.parametrize("groups", [1, 4])
def test_gradients_of_a_convolution_cost_two_forward_passes(groups):
    with enter_simulation():
        x = torch.empty(2, 8, 6, 10, 10, requires_grad=True)
        weight = torch.empty(16, 8 // groups, 3, 3, 3, requires_grad=True)
        forward = 2 * 2 * 6 * 10 * 10 * 16 * (8 // groups) * 27

        def run() -> torch.Tensor:
            return F.conv3d(x, weight, padding=1, groups=groups)

        assert cost_of(run).flops == forward
        assert cost_of(lambda: run().sum().backward()).flops == 3 * forward


def test_gradients_of_attention_cost_two_and_a_half_forward_passes():
    with enter_simulation():
        query = torch.empty(1, 2, 64, 16, requires_grad=True)
        forward = cost_of(lambda: F.scaled_dot_product_attention(query, query, query)).flops
        both = cost_of(lambda: F.scaled_dot_product_attention(query, query, query).sum().backward()).flops
    assert both == 3.5 * forward


def test_memory_is_what_is_alive_at_once():
    with enter_simulation():
        x = torch.empty(MIB // 4)

        def chain() -> torch.Tensor:
            y = x + 1  # one
            y = y * 2  # two, then one
            z = y - y.square()  # two more beside it
            return z[: MIB // 8].neg_()  # a view and an operation in place: nothing

        assert cost_of(chain).peak_bytes == 3 * MIB
        assert cost_of(lambda: [x + 1 for _ in range(5)]).peak_bytes == 5 * MIB
        assert cost_of(lambda: [float((x + 1).numel()) for _ in range(5)]).peak_bytes == MIB


def test_memory_of_a_backward_pass_holds_what_is_kept_for_it():
    with enter_simulation():
        layers = torch.nn.Sequential(*(torch.nn.Tanh() for _ in range(8)))
        x = torch.empty(MIB // 4, requires_grad=True)
        with torch.no_grad():
            assert cost_of(lambda: layers(x)).peak_bytes == 2 * MIB
        assert cost_of(lambda: layers(x)).peak_bytes == 8 * MIB
        kept = cost_of(lambda: layers(x).sum().backward()).peak_bytes
        assert 8 * MIB < kept <= 12 * MIB


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_operations_are_those_torch_counts(mode):
    network = torch.nn.Sequential(torch.nn.Conv3d(2, 4, 3), torch.nn.SiLU(), torch.nn.Linear(6, 5))
    x = torch.rand(1, 2, 8, 8, 8)
    with mode(), FlopCounterMode(display=False) as counter:
        network(x)
    with mode():
        assert cost_of(lambda: network(x)).flops == counter.get_total_flops() > 0


def test_checkpointing_keeps_less_and_computes_more():
    with enter_simulation():
        layers = [torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4))) for _ in range(8)]
        x = torch.empty(10_000, 64, requires_grad=True)

        def run(keep: bool) -> None:
            y = x
            for layer in layers:
                y = layer(y) if keep else checkpoint(layer, y, use_reentrant=False)
            y.sum().backward()

        plain, checkpointed = cost_of(lambda: run(True)), cost_of(lambda: run(False))
    # Of four layers three are computed again: nothing waits for what the fourth returned.
    assert checkpointed.flops == plain.flops * (3 + 3 / 4) / 3
    assert checkpointed.peak_bytes < 0.6 * plain.peak_bytes


def test_it_can_watch_a_real_computation_too():
    x = torch.ones(10, 10)
    found = []
    cost = cost_of(lambda: found.append(x @ x))
    assert cost.flops == 2 * 10 * 10 * 10
    assert cost.peak_bytes == 400
    assert found[0].sum().item() == 1000
