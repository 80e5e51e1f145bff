"""Devices by name, and the memory format that is fast on each."""

import torch
from torch import nn

from medsyn2.errors import ConfigError

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def move(network: nn.Module, device: torch.device) -> None:
    """Move the network to `device`, and on a CPU store the weights of its convolutions channels last.

    oneDNN computes convolutions of few channels up to three times as fast in channels-last order, and reorders its
    input itself. Values do not change, the order of summation does. On GPUs the order is unchanged, as it has not been
    measured there.
    """
    network.to(device)
    for weight in network.parameters():
        if device.type == "cpu" and weight.ndim in FORMATS:
            weight.data = weight.data.contiguous(memory_format=FORMATS[weight.ndim])


def available_device(name: torch.device | str = "auto") -> torch.device:
    """Return the device called `name`; ``auto`` is the GPU where there is one, else the CPU.

    Raises:
        ConfigError: If the name is invalid or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            f"expected a device such as auto, cpu, cuda or cuda:1, got {name!r}.",
            code="device-unknown",
            remedy="use the device cpu, or cuda where there is a GPU.",
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"expected the device {device}, but {torch.cuda.device_count()} CUDA devices are visible.",
            code="device-missing",
            remedy="use the device cpu, or run where there is a GPU.",
        )
    return device
