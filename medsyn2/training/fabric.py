"""The processes and devices of a training, which are Lightning Fabric's business.

One process, unless ``torchrun`` started several: then each takes its device and they average their gradients
(DDP, gloo on CPUs, nccl on GPUs). ``torchrun --nproc-per-node=4 -m medsyn2 train_dit ...`` needs nothing else.
"""

import os
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

Precision = Literal["32-true", "bf16-mixed"]


def make_fabric(precision: Precision) -> Fabric:
    """Return the Fabric of this process, launched."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=local,
        num_nodes=max(1, processes // local),
        strategy="ddp" if processes > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric


def is_first_process() -> bool:
    """Return whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def to_device(batch: Any, device: torch.device) -> Any:
    """Return a dataclass with all its tensors, at any depth, on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if is_dataclass(batch) and not isinstance(batch, type):
        moved = {part.name: to_device(getattr(batch, part.name), device) for part in fields(batch)}
        return replace(batch, **moved)
    return batch
