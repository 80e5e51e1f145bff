"""Devices by name, and the memory format that is fast on each."""

import torch
from torch import nn

from medsyn2.errors import ConfigError
from medsyn2.nn.machine import Machine, known_machine

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
TENSOR_CORES = (8, 0)
"""First capability whose tensor cores take bfloat16 and TF32."""


def move(network: nn.Module, device: torch.device) -> None:
    """Move the network to `device`, with the weights of its convolutions in the order that is fast there."""
    order_weights(network.to(device), device)


def order_weights(network: nn.Module, device: torch.device) -> None:
    """Store the weights of convolutions channels last where that is fast; inputs and outputs follow.

    Values do not change, the order of summation does.
    """
    for weight in network.parameters():
        if weight.ndim in FORMATS and prefers_channels_last(known_machine(device)):
            weight.data = weight.data.contiguous(memory_format=FORMATS[weight.ndim])


def prefers_channels_last(machine: Machine) -> bool:
    """Say whether a machine convolves faster in channels-last order.

    On CPUs oneDNN computes convolutions of few channels up to three times as fast in this order, and reorders its input
    itself. On CUDA it is the order of the kernels for tensor cores; cuDNN transposes others before and after each
    convolution (not measured here).
    """
    return machine.device_type == "cpu" or machine.capability >= TENSOR_CORES


def available_device(name: torch.device | str = "auto") -> torch.device:
    """Return the device called `name`; ``auto`` is the GPU where there is one, else the CPU.

    Raises:
        ConfigError: If the name is invalid or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(
            f"expected a device such as auto, cpu, cuda or cuda:1, got {name!r}.",
            code="device-unknown",
            remedy="use the device cpu, or cuda where there is a GPU.",
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} CUDA devices are visible"
    elif device.type not in ("cpu", "cuda") and not _computes(device):
        found = f"PyTorch {torch.__version__} computes nothing on it here"
    else:
        return device
    raise ConfigError(
        f"expected the device {device}, but {found}.",
        code="device-missing",
        remedy="use the device cpu, or run where there is a GPU.",
    )


def _computes(device: torch.device) -> bool:
    try:
        return torch.ones(1, device=device).item() == 1.0
    except (RuntimeError, AssertionError, ImportError):  # as the kinds of devices report their absence
        return False
