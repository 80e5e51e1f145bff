"""Processes and devices of a training, managed by Lightning Fabric.

A training has one process unless ``torchrun`` starts several (``torchrun --nproc-per-node=4 -m medsyn2 train_dit
...``); then each takes its device and they average their gradients (gloo on CPUs, nccl on GPUs). With DDP each holds a
full copy of network and optimizer state, with FSDP a shard (``sharding.py``).

Mixed precision is autocast to bfloat16 around forward passes, on GPUs and on CPUs, whose bfloat16 units make a step of
the tokenizer half as long. Fabric's own plugin also takes part in the backward pass, for float16's loss scaling, and
would forbid the gradients that weigh an adversarial loss. On CPUs, PyTorch's bfloat16 kernels have returned
uninitialised memory as the gradient of depthwise convolutions on small channels-last grids (2.13, oneDNN), so that the
transformer, which has them, is trained in float32 there (`refuse_on_cpu`).
"""

import os
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import Precision as PrecisionPlugin
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.nn.device import available_device
from medsyn2.training.engine.sharding import shard

Precision = Literal["32-true", "bf16-mixed"]
Sharing = Literal["ddp", "fsdp"]


class Bfloat16Autocast(PrecisionPlugin):
    """Autocast to bfloat16 in forward passes; parameters, gradients and updates stay in float32."""

    precision = "bf16-mixed"

    def __init__(self, device_type: str) -> None:
        self.device_type = device_type

    def forward_context(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device_type, dtype=torch.bfloat16)


def refuse_on_cpu(precision: Precision) -> None:
    """Refuse mixed precision for a network with depthwise convolutions where there is no GPU.

    Raises:
        ConfigError: If mixed precision is asked for.
    """
    if precision == "bf16-mixed" and available_device().type == "cpu":
        raise ConfigError(
            "The precision bf16-mixed of the transformer needs a GPU, and there is none.",
            code="precision-needs-gpu",
            remedy="set precision to 32-true in the section of this training.",
        )


def make_fabric(precision: Precision, sharing: Sharing = "ddp") -> Fabric:
    """Launch and return the Fabric of this process.

    Args:
        sharing: ``ddp``: processes average gradients; ``fsdp``: they also shard parameters and optimizer state.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    device_type = available_device().type
    fabric = Fabric(
        accelerator=device_type,
        devices=local,
        num_nodes=max(1, processes // local),
        strategy=_strategy(sharing, processes),
        plugins=[Bfloat16Autocast(device_type)] if precision == "bf16-mixed" else [],
    )
    fabric.launch()
    return fabric


def _strategy(sharing: Sharing, processes: int) -> str | Strategy:
    if processes == 1:
        return "auto"
    if sharing == "ddp":
        return "ddp"
    return ModelParallelStrategy(shard, data_parallel_size=processes, tensor_parallel_size=1)


def is_first_process() -> bool:
    """Say whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def to_device(batch: Any, device: torch.device) -> Any:
    """Move all tensors of a dataclass, at any depth, to `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if is_dataclass(batch) and not isinstance(batch, type):
        moved = {part.name: to_device(getattr(batch, part.name), device) for part in fields(batch)}
        return replace(batch, **moved)
    return batch
