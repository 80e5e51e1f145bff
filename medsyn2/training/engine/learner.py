"""Networks to train, their losses, and the length of a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from medsyn2.training.engine.fabric import Precision, Sharing
from medsyn2.training.engine.optimizer import AdamSettings
from medsyn2.types import Float


@dataclass(frozen=True)
class MicroLoss:
    """The loss of one micro-batch.

    Attributes:
        total: Loss to differentiate.
        sums: Detached sum of each logged part; see `Learner.parts`.
        counts: Divisors of the sums, after addition over micro-batches and processes.
    """

    total: Float[Tensor, ""]
    sums: Float[Tensor, " parts"]
    counts: Float[Tensor, " parts"]


@runtime_checkable
class LossFunction(Protocol):
    """Computes the loss of a micro-batch."""

    def __call__(
        self, networks: Mapping[str, nn.Module], batch: Any, generator: torch.Generator, step: int
    ) -> MicroLoss:
        """Return the loss.

        Args:
            networks: All networks by their learners' names, wrapped for the devices.
            batch: Samples.
            generator: Source of every draw, on the CPU.
            step: Steps completed.
        """
        ...


@dataclass(frozen=True)
class Learner:
    """A network to train."""

    network: nn.Module
    loss: LossFunction
    optimizer: AdamSettings
    ema_decay: float
    parts: tuple[str, ...] = ()
    first_step: int = 0


@dataclass(frozen=True)
class LoopSettings:
    """Length, batches and devices of a training.

    Attributes:
        num_steps: Steps.
        batch_size: Samples per micro-batch.
        checkpoint_every: Steps between checkpoints.
        seed: Seed of every draw.
        accumulate: Micro-batches per step, shared by the processes.
        precision: Precision of forward passes.
        sharing: Data-parallel strategy.
        num_workers: Threads that prepare batches ahead; 0 prepares each on demand.
    """

    num_steps: int
    batch_size: int
    checkpoint_every: int
    seed: int
    accumulate: int = 1
    precision: Precision = "32-true"
    sharing: Sharing = "ddp"
    num_workers: int = 0
