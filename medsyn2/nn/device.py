"""Devices by name."""

import torch

from medsyn2.errors import ConfigError


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
