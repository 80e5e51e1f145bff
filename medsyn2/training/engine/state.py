"""The state of a training: networks, optimizers, moving averages and the number of steps."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from medsyn2.training.engine.checkpoint import Checkpoint
from medsyn2.training.engine.learner import Learner
from medsyn2.training.engine.optimizer import load_optimizer_tensors, make_optimizer, optimizer_tensors
from medsyn2.training.engine.sharding import gather_full_tensor, local_shard, shard_like
from medsyn2.weights.tensors import load_strictly


class MovingAverage:
    """Exponential moving average of a network's weights, in float32 whatever the precision; the exported weights.

    After update n the average is a <- d a + (1 - d) w, with d = min(decay, (1 + n) / (10 + n)): this warm-up, which is
    TensorFlow's, lets it forget the initial weights in a short training (with d = 0.9999 alone, 12,000 steps would
    leave 30 % of them). Buffers and integers are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: _copy(tensor) for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, num_updates: int) -> None:
        """Add the weights after update number `num_updates`, counted from 1."""
        kept = min(self.decay, (1 + num_updates) / (10 + num_updates))
        parameters = {name for name, _ in network.named_parameters()}
        averages, weights = [], []
        for name, tensor in network.state_dict().items():
            if name in parameters and tensor.is_floating_point():
                averages.append(local_shard(self.tensors[name]))
                weights.append(local_shard(tensor).float())
            else:
                self.tensors[name].copy_(tensor)
        torch._foreach_lerp_(averages, weights, 1.0 - kept)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore a saved average of full tensors."""
        for name, tensor in self.tensors.items():
            tensor.copy_(shard_like(tensors[name], tensor))


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().float() if tensor.is_floating_point() else tensor.detach().clone()


class TrainingState:
    """State of a training, initial or from a checkpoint."""

    def __init__(self, fabric: Fabric, learners: Mapping[str, Learner], checkpoint: Checkpoint | None) -> None:
        self.step = 0 if checkpoint is None else checkpoint.step
        self.networks: dict[str, nn.Module] = {}
        self.wrapped: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        self.averages: dict[str, MovingAverage] = {}
        for name, learner in learners.items():
            network = learner.network.to(fabric.device).train()
            if checkpoint is not None:
                source = f"{name} of the checkpoint of step {checkpoint.step}"
                load_strictly(network, checkpoint.part(f"{name}/network"), source=source)
            # Sharding replaces parameters: optimizer and average must be made after it.
            self.networks[name], self.wrapped[name] = network, fabric.setup_module(network)
            optimizer = make_optimizer(network.parameters(), learner.optimizer)
            self.averages[name] = MovingAverage(network, learner.ema_decay)
            if checkpoint is not None:
                load_optimizer_tensors(optimizer, checkpoint.part(f"{name}/optimizer"))
                self.averages[name].load(checkpoint.part(f"{name}/average"))
            self.optimizers[name] = fabric.setup_optimizers(optimizer)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the state as full tensors, by ``<learner>/<network, optimizer or average>/<name>``.

        Sharded tensors are gathered one by one: a collective call.
        """
        for name, network in self.networks.items():
            parts = {
                "network": network.state_dict(),
                "optimizer": optimizer_tensors(self.optimizers[name]),
                "average": self.averages[name].tensors,
            }
            for part, values in parts.items():
                for key, tensor in values.items():
                    yield f"{name}/{part}/{key}", gather_full_tensor(tensor)

    def full_averages(self) -> dict[str, dict[str, Tensor]]:
        """Return the moving average of each network as full tensors on the CPU; a collective call."""
        return {
            name: {key: gather_full_tensor(tensor).cpu() for key, tensor in average.tensors.items()}
            for name, average in self.averages.items()
        }
