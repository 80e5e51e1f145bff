"""AdamW, its learning rate, and its state as plain tensors.

Without weight decay AdamW is Adam. The learning rate is a function of the step, so only the moments are saved, by
number of the parameter in the network's order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, pi

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from medsyn2.training.engine.sharding import shard_like


@dataclass(frozen=True)
class AdamSettings:
    """Settings of AdamW and its learning rate."""

    learning_rate: float  # Learning rate after the warm-up
    warmup_steps: int = 0  # Steps of the linear warm-up
    betas: tuple[float, float] = (0.9, 0.999)  # Decay of the two moments
    weight_decay: float = 0.0  # Decoupled weight decay
    clip_grad_norm: float | None = None  # Largest norm of the gradient; None does not clip
    decay_steps: int | None = None  # Steps of the decay to zero by half a cosine; None keeps the rate

    @classmethod
    def of(cls, section: BaseModel) -> "AdamSettings":
        """Take the values from a training's section of the configuration."""
        return cls(**section.model_dump(include=set(cls.__dataclass_fields__)))

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rate = self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.decay_steps is None:
            return rate
        return rate * 0.5 * (1 + cos(pi * min(1.0, step / self.decay_steps)))


def make_optimizer(parameters: Iterable[nn.Parameter], settings: AdamSettings) -> torch.optim.AdamW:
    """Return a fused AdamW for `parameters`."""
    return torch.optim.AdamW(
        parameters, lr=settings.rate_at(0), betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors named ``<number of the parameter>/<moment>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}/{name}": torch.as_tensor(value) for index, values in state.items() for name, value in values.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore full tensors of `optimizer_tensors`; the parameters must be the same."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/", 1)
        moment = tensor.shape == parameters[int(index)].shape  # otherwise the step counter
        restored = _as_laid_out(tensor, parameters[int(index)]) if moment else tensor
        state.setdefault(int(index), {})[name] = restored
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _as_laid_out(moment: Tensor, parameter: Tensor) -> Tensor:
    """Return a moment with the sharding and the memory layout of its parameter.

    An update with mixed layouts uses another kernel, which rounds differently.
    """
    shared = shard_like(moment, parameter)
    return shared if shared is not moment else torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)
