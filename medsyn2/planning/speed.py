"""How fast this machine runs a network: measured for a moment, on its GPU if it has one."""

import os
import time
from dataclasses import dataclass

import torch
from torch.nn import functional as F

_SECONDS = 0.5


@dataclass(frozen=True)
class Machine:
    """What this machine has."""

    name: str  # Of the device that networks run on
    flops_per_s: float  # Its speed in a 3D convolution
    cores: int  # CPU cores that this process may use
    memory_bytes: int  # Main memory
    device_bytes: int  # Memory of the device; the main memory if there is no GPU


def this_machine() -> Machine:
    """Return what this machine has; takes about a second."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Machine(properties.name, measured(torch.device("cuda")), cores, memory, properties.total_memory)
    return Machine(f"{cores} CPU cores", measured(torch.device("cpu")), cores, memory, memory)


def measured(device: torch.device) -> float:
    """Return the operations a second of a 3 x 3 x 3 convolution with 32 channels (256 and bfloat16 on a GPU)."""
    on_gpu = device.type == "cuda"
    channels, side = (256, 64) if on_gpu else (32, 32)
    dtype = torch.bfloat16 if on_gpu else torch.float32
    x = torch.ones(1, channels, side, side, side, device=device, dtype=dtype)
    weight = torch.ones(channels, channels, 3, 3, 3, device=device, dtype=dtype)
    operations = 2 * channels**2 * 27 * side**3

    def run() -> None:
        F.conv3d(x, weight, padding=1)
        if on_gpu:
            torch.cuda.synchronize()

    with torch.no_grad():
        run()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < _SECONDS:
            run()
            count += 1
        return operations * count / (time.perf_counter() - begin)
