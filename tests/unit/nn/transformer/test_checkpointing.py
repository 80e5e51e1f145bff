"""The tensors kept for the backward pass change the recomputation, but no gradient."""

import weakref
from typing import get_args

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medsyn2.nn.transformer.checkpointing import ATTENTION, Checkpointing
from medsyn2.nn.transformer.dit import DiT

DEPTH = 3
MODES = get_args(Checkpointing)
LAYOUTS = ["paper", "official"]


class CountAttention(TorchDispatchMode):
    """Counts forward calls of fused attention."""

    calls = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.calls += operation in ATTENTION
        return operation(*args, **(kwargs or {}))


@pytest.fixture(params=LAYOUTS)
def network(request) -> DiT:
    torch.manual_seed(0)
    made = DiT(
        latent_channels=4,
        text_width=20,
        width=48,
        depth=DEPTH,
        num_heads=4,
        patch=(2, 2, 2),
        qk_norm=True,
        layout=request.param,
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.05)
    return made


def inputs():
    generator = torch.Generator().manual_seed(1)
    latents, mask_latents = torch.randn(2, 2, 4, 8, 6, 4, generator=generator)
    text = torch.randn(2, 9, 20, generator=generator)
    return latents, torch.tensor([0.3, 0.9]), mask_latents, text, torch.arange(9) < torch.tensor([[5], [8]])


def gradients(network, mode):
    network.checkpointing = mode
    network.zero_grad()
    loss = network(*inputs()).square().mean()
    loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("mixed", [False, True])
def test_loss_and_gradients_are_equal_to_the_last_bit(mode, mixed, network):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        (expected_loss, expected), (loss, found) = gradients(network, "none"), gradients(network, mode)
    assert torch.equal(loss, expected_loss)
    assert all(map(torch.equal, found, expected))
    assert any(gradient.any() for gradient in found)


@pytest.mark.parametrize(("mode", "again"), [("none", 0), ("selective", 0), ("full", 1)])
def test_attention_runs_again_in_full_checkpointing_alone(mode, again, network):
    with CountAttention() as counted:
        gradients(network, mode)
    assert counted.calls == 2 * DEPTH * (1 + again)


class TrackTensors(TorchDispatchMode):
    """Knows every tensor made, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[weakref.ref[torch.Tensor]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        self.made += [weakref.ref(each) for each in tree_leaves(made) if isinstance(each, torch.Tensor)]
        return made

    def alive_bytes(self) -> int:
        storages = [tensor.untyped_storage() for ref in self.made if (tensor := ref()) is not None]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_less_is_kept_the_more_is_computed_again(network):
    kept = {}
    for mode in MODES:
        network.checkpointing = mode
        with TrackTensors() as tracked:
            output = network(*inputs())
        kept[mode] = tracked.alive_bytes()
        del output
    assert kept["none"] > 2 * kept["selective"]
    assert kept["selective"] > 1.2 * kept["full"] > 0


def test_nothing_is_kept_without_gradients(network):
    network.checkpointing = "full"
    with torch.no_grad(), CountAttention() as counted:
        assert not network(*inputs()).requires_grad
    assert counted.calls == 2 * DEPTH


def test_every_fused_attention_of_this_torch_is_on_the_list():
    """A new kernel that is not listed would be computed twice."""
    known = {operation.overloadpacket._qualified_op_name for operation in ATTENTION}
    named = {
        name.split(".")[0] for name in torch._C._dispatch_get_all_op_names() if "scaled_dot_product" in name
    }
    others = {"aten::scaled_dot_product_attention", "aten::_scaled_dot_product_attention_math"}
    forward = {name for name in named if name.startswith("aten::") and "backward" not in name} - others
    assert {name for name in forward if "_for_mps" not in name and "quantized" not in name} <= known
