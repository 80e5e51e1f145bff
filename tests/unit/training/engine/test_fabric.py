from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.training.engine.fabric import Bfloat16Autocast, is_first_process, make_fabric, refuse_on_cpu, to_device


@dataclass(frozen=True)
class Inner:
    x: Tensor
    y: Tensor | None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str


def test_every_tensor_moves_and_nothing_else_changes() -> None:
    batch = Outer(Inner(torch.zeros(2), None), "a")
    moved = to_device(batch, torch.device("meta"))
    assert moved.inner.x.device.type == "meta"
    assert moved.inner.y is None
    assert moved.name == "a"
    assert batch.inner.x.device.type == "cpu"


def test_one_process_unless_torchrun_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = make_fabric("32-true")
    assert fabric.world_size == 1
    assert is_first_process()
    monkeypatch.setenv("RANK", "1")
    assert not is_first_process()


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights() -> None:
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1, plugins=[Bfloat16Autocast("cpu")])
    torch.manual_seed(0)
    network = torch.nn.Linear(8, 8)
    wrapped = fabric.setup_module(network)
    x = torch.randn(4, 8)
    made = wrapped(x)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), network(x), rtol=0.02, atol=0.02)
    (first,) = torch.autograd.grad(made.float().sum(), network.weight, retain_graph=True)
    fabric.backward(made.float().sum())
    assert network.weight.grad is not None
    assert network.weight.grad.dtype == torch.float32
    assert torch.equal(first, network.weight.grad)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_mixed_precision_without_a_gpu_is_refused_for_depthwise_convolutions() -> None:
    refuse_on_cpu("32-true")
    with pytest.raises(ConfigError, match="precision-needs-gpu"):
        refuse_on_cpu("bf16-mixed")
