"""All that a training changes: networks, optimizers, moving averages and the number of steps made."""

from collections.abc import Mapping
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from medsyn2.training.checkpoint import Checkpoint
from medsyn2.training.ema import MovingAverage
from medsyn2.training.learner import Learner
from medsyn2.training.optimizer import load_optimizer_tensors, make_optimizer, optimizer_tensors
from medsyn2.weights import load_strictly


class TrainingState:
    """The state of a training, at its beginning or where a checkpoint left it.

    Args:
        fabric: Devices and processes.
        learners: What is trained; their networks are trained in place.
        checkpoint: Where to go on from; None begins.

    Attributes:
        step: Steps made.
        networks: As they were given.
        wrapped: As they are called, for precision and several processes.
        optimizers: Of each network.
        averages: Of each network.
    """

    def __init__(
        self, fabric: Fabric, learners: Mapping[str, Learner], checkpoint: Checkpoint | None
    ) -> None:
        self.step = 0 if checkpoint is None else checkpoint.step
        self.networks: dict[str, nn.Module] = {}
        self.wrapped: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        self.averages: dict[str, MovingAverage] = {}
        for name, learner in learners.items():
            network = learner.network.to(fabric.device).train()
            optimizer = make_optimizer(network.parameters(), learner.optimizer)
            average = MovingAverage(network, learner.ema_decay)
            if checkpoint is not None:
                source = f"{name} of the checkpoint of step {checkpoint.step}"
                load_strictly(network, checkpoint.part(f"{name}/network"), source=source)
                load_optimizer_tensors(optimizer, checkpoint.part(f"{name}/optimizer"))
                average.load(checkpoint.part(f"{name}/average"))
            self.networks[name], self.averages[name] = network, average
            self.wrapped[name], self.optimizers[name] = fabric.setup(network, optimizer)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as plain tensors, by ``<learner>/<network, optimizer or average>/<name>``."""
        tensors: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            parts = {
                "network": network.state_dict(),
                "optimizer": optimizer_tensors(self.optimizers[name]),
                "average": self.averages[name].tensors,
            }
            for part, values in parts.items():
                tensors |= {f"{name}/{part}/{key}": tensor for key, tensor in values.items()}
        return tensors

    def averaged(self) -> dict[str, dict[str, Tensor]]:
        """Return the moving average of each network's state, on the CPU."""
        return {
            name: {key: tensor.cpu() for key, tensor in average.tensors.items()}
            for name, average in self.averages.items()
        }
