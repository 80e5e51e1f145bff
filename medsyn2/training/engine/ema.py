"""Exponential moving average of a network's weights; the exported weights.

After update n the average a is

    a <- d a + (1 - d) w,    d = min(decay, (1 + n) / (10 + n)),

in float32 whatever the precision of the training. The warm-up of d lets the average forget the initial weights in a
short training: with d = 0.9999 alone, 12,000 steps would leave 30 % of them. Buffers and integers are copied.

Source: The warm-up is TensorFlow's ``ExponentialMovingAverage(num_updates=...)``.
"""

import torch
from torch import Tensor, nn

from medsyn2.training.engine.sharding import local_shard, shard_like


class MovingAverage:
    """Moving average of a network's state."""

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
