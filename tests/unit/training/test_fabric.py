from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from medsyn2.training.fabric import is_first_process, make_fabric, to_device


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
