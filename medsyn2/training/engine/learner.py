"""Networks to train, their losses, and the length of a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from medsyn2.training.engine.fabric import Precision, Sharing
from medsyn2.training.engine.optimizer import AdamSettings
from medsyn2.types import Float


@dataclass(frozen=True)
class MicroLoss:
    """The loss of one micro-batch."""

    total: Float[Tensor, ""]  # Loss to differentiate
    sums: Float[Tensor, " parts"]  # Detached sum of each logged part; see `Learner.parts`
    counts: Float[Tensor, " parts"]  # Divisors of the sums, after addition over micro-batches and processes


@runtime_checkable
class LossFunction(Protocol):
    """Computes the loss of a micro-batch."""

    def __call__(
        self, networks: Mapping[str, nn.Module], batch: Any, generator: torch.Generator, step: int
    ) -> MicroLoss:
        """Return the loss.

        Args:
            generator: Source of every draw, on the CPU.
        """
        ...


@dataclass(frozen=True)
class Learner:
    """A network to train."""

    network: nn.Module
    loss: LossFunction
    optimizer: AdamSettings  # Settings of its optimizer
    ema_decay: float  # Decay of its moving average
    parts: tuple[str, ...] = ()  # Names of the logged parts of the loss
    first_step: int = 0  # First step of its training


@dataclass(frozen=True)
class LoopSettings:
    """Length, batches and devices of a training."""

    num_steps: int
    batch_size: int  # Samples per micro-batch
    checkpoint_every: int  # Steps between checkpoints
    seed: int  # Seed of every draw
    accumulate: int = 1  # Micro-batches per step, shared by the processes
    precision: Precision = "32-true"  # Precision of forward passes
    strategy: Sharing = "ddp"  # Data-parallel strategy
    num_workers: int = 0  # Threads that prepare batches ahead; 0 prepares each on demand

    @classmethod
    def of(cls, section: BaseModel) -> "LoopSettings":
        """Take the values from a training's section of the configuration."""
        return cls(**section.model_dump(include=set(cls.__dataclass_fields__)))
