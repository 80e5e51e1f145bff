"""What is trained and for how long: the values the training loop works from."""

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
        total: To be differentiated.
        sums: Sum of each part that is logged, detached; see `Learner.parts`.
        counts: What the sums are divided by, after all micro-batches and processes were added up.
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
            networks: All networks by their learners' names, as they are wrapped for the devices.
            batch: The samples.
            generator: Source of every draw, on the CPU.
            step: Steps already made.
        """
        ...


@dataclass(frozen=True)
class Learner:
    """A network that is trained.

    Attributes:
        network: The network.
        loss: Its loss.
        optimizer: How it is updated.
        ema_decay: Of its moving average.
        parts: Names of the parts of the loss that are logged beside it.
        first_step: Step from which it is trained.
    """

    network: nn.Module
    loss: LossFunction
    optimizer: AdamSettings
    ema_decay: float
    parts: tuple[str, ...] = ()
    first_step: int = 0


@dataclass(frozen=True)
class LoopSettings:
    """How long and on what.

    Attributes:
        num_steps: Steps.
        batch_size: Samples of a micro-batch.
        checkpoint_every: Steps between checkpoints.
        seed: Of every draw.
        accumulate: Micro-batches a step, shared by the processes.
        precision: Fabric's.
        sharing: What several processes share.
        num_workers: Threads that prepare batches ahead; 0 prepares each when it is needed.
    """

    num_steps: int
    batch_size: int
    checkpoint_every: int
    seed: int
    accumulate: int = 1
    precision: Precision = "32-true"
    sharing: Sharing = "ddp"
    num_workers: int = 0
