"""How fast this machine runs a network: measured for a moment, on its GPU if it has one."""

import os
import time
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from medsyn2.nn.precision import arithmetic, precision_on
from medsyn2.planning.costs import Speed

_SECONDS = 0.5


@dataclass(frozen=True)
class Machine:
    """What this machine has."""

    name: str  # Of the device that networks run on
    speed: Speed  # Its speed in a 3D convolution
    has_bf16: bool  # Whether it computes in bfloat16
    cores: int  # CPU cores that this process may use
    memory_bytes: int  # Main memory
    device_bytes: int  # Memory of the device; the main memory if there is no GPU


def this_machine() -> Machine:
    """Return what this machine has; takes about a second."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not torch.cuda.is_available():
        float32 = measure(torch.device("cpu"), torch.float32)
        return Machine(f"{cores} CPU cores", Speed(float32, float32), False, cores, memory, memory)
    device, properties = torch.device("cuda", 0), torch.cuda.get_device_properties(0)
    has_bf16 = precision_on(device) == "bf16"
    float32 = measure(device, torch.float32)
    speed = Speed(float32, measure(device, torch.bfloat16) if has_bf16 else float32)
    return Machine(properties.name, speed, has_bf16, cores, memory, properties.total_memory)


def measure(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of a 3 x 3 x 3 convolution with 32 channels (256 on a GPU)."""
    on_gpu = device.type == "cuda"
    channels, side = (256, 64) if on_gpu else (32, 32)
    x = torch.ones(1, channels, side, side, side, device=device, dtype=dtype)
    weight = torch.ones(channels, channels, 3, 3, 3, device=device, dtype=dtype)
    operations = 2 * channels**2 * 27 * side**3

    def run() -> None:
        F.conv3d(x, weight, padding=1)
        if on_gpu:
            torch.cuda.synchronize()

    with torch.no_grad(), arithmetic("float32", device):  # no TF32
        run()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < _SECONDS:
            run()
            count += 1
        return operations * count / (time.perf_counter() - begin)
