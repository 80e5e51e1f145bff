"""Properties of a device that decide which kernels run on it."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import torch

Version = tuple[int, int]


@dataclass(frozen=True)
class Machine:
    """A device, and the libraries that bring its kernels."""

    device_type: str  # ``cuda``, ``cpu`` or another of PyTorch's
    torch_version: Version  # Major and minor
    capability: Version = (0, 0)  # CUDA's compute capability, major and minor
    cudnn_version: int = 0  # As `torch.backends.cudnn.version` gives it (92000 for 9.20); 0 without cuDNN
    deterministic: bool = False  # Deterministic algorithms are required
    name: str = ""  # For the log
    triton_version: Version = (0, 0)  # Major and minor; zeros without Triton


def machine_of(device: torch.device) -> Machine:
    """Describe `device`."""
    torch_version = _major_and_minor(torch.__version__)
    if device.type != "cuda":
        return Machine(device.type, torch_version, name=device.type)
    # AMD's devices are of this type too: their version of cuDNN would be that of MIOpen, which has none of its kernels.
    nvidia = torch.version.hip is None
    return Machine(
        "cuda",
        torch_version,
        torch.cuda.get_device_capability(device),
        (torch.backends.cudnn.version() or 0) if nvidia else 0,
        torch.are_deterministic_algorithms_enabled(),
        torch.cuda.get_device_name(device),
        _triton_version() if nvidia else (0, 0),
    )


def known_machine(device: torch.device) -> Machine:
    """Describe `device`, from memory if nothing has changed since the last time."""
    return _known_machine(device, torch.are_deterministic_algorithms_enabled())


@lru_cache
def _known_machine(device: torch.device, deterministic: bool) -> Machine:
    del deterministic  # part of the key: it may change during a run
    return machine_of(device)


def _triton_version() -> Version:
    """Return Triton's version without importing it, which takes a second."""
    try:
        return _major_and_minor(version("triton"))
    except PackageNotFoundError:
        return 0, 0


def _major_and_minor(release: str) -> Version:
    major, minor = release.split(".")[:2]
    return int(major), int(minor)
