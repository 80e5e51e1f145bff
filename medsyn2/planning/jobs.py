"""The size of a job: the time, memory and GPUs that its stage's cost makes it ask a scheduler for.

A stage's largest job decides. Its predicted time is its CPU seconds and, one after the other, its operations at the
speed that the section ``jobs`` assumes; the time limit is a multiple of that. A job whose time nobody has measured asks
for the longest limit. One that a limit stops goes on in the next attempt, which gets more time and memory.

The workflow reads sizes whenever it is parsed, so this module does not import PyTorch.
"""

from dataclasses import dataclass
from math import ceil

from medsyn2.config import JobsConfig
from medsyn2.planning.costs import GB, Cost, Speed

LEAST_MIN, LEAST_MB = 30, 4000
"""What any job asks for: a start from a slow file system, and the libraries of its process."""

MEMORY_FACTOR = 1.25
"""Memory in multiples of the predicted one, for libraries and the allocator's fragmentation."""

WORKSPACE_FACTOR = 2.0
"""Memory of networks on a CPU in multiples of that of their tensors: the copies of oneDNN can take as much again."""

CUDA_BYTES = 3 * GB
"""Main memory of a process that uses a GPU, for its libraries and pinned buffers. Assumed, not measured."""


@dataclass(frozen=True)
class Job:
    """The largest job of a stage, as a scheduler sees it."""

    stage: str  # Name of the stage
    variant: str  # Name of the variant; empty for the main model
    jobs: int  # How many jobs the stage is
    seconds: float | None  # Predicted time; None if nobody has measured it
    limit_min: int  # Time limit of the first attempt
    longest_min: int  # Largest time limit
    memory_mb: int  # Memory of the first attempt
    gpus: int
    threads: int

    def limit_of(self, attempt: int) -> int:
        """Return the time limit of an attempt, counted from 1, in minutes."""
        return min(self.limit_min * attempt, self.longest_min)

    def memory_of(self, attempt: int) -> int:
        """Return the memory of an attempt in MB: half as much again for each one before."""
        return self.memory_mb * (1 + attempt) // 2

    @property
    def name(self) -> str:
        """The stage, with its variant."""
        return f"{self.stage}, {self.variant}" if self.variant else self.stage

    @property
    def attempts(self) -> int:
        """How many attempts the predicted time takes."""
        return 1 if self.seconds is None else max(ceil(self.seconds / 60 / self.longest_min), 1)


def size_job(cost: Cost, settings: JobsConfig, *, gpus: int, threads: int, on_gpu: bool) -> Job:
    """Return the largest job of a stage.

    Args:
        cost: Cost of the stage.
        gpus: GPUs that it asks for, each with a process of its own.
        threads: CPU cores that it asks for.
        on_gpu: Whether its networks' tensors are on the GPU; else they are in the main memory.
    """
    seconds = predict_s(cost, settings, gpus, threads)
    longest = round(60 * settings.longest_h)
    limit = longest if seconds is None else min(max(ceil(settings.time_factor * seconds / 60), LEAST_MIN), longest)
    processes = max(gpus, 1)
    beside = CUDA_BYTES if on_gpu else WORKSPACE_FACTOR * cost.device_bytes
    memory = processes * (MEMORY_FACTOR * cost.memory_bytes + beside)
    return Job(
        cost.stage, cost.variant, cost.jobs, seconds, limit, longest, max(ceil(memory / 1e6), LEAST_MB), gpus, threads
    )


def predict_s(cost: Cost, settings: JobsConfig, gpus: int, threads: int) -> float | None:
    """Return the time of the largest job in seconds, None if nobody has measured it."""
    if cost.cpu_s is None:
        return None
    speed = Speed(*2 * [threads * settings.core_gflops * 1e9])
    if gpus:
        speed = Speed(gpus * settings.gpu_float32_tflops * 1e12, gpus * settings.gpu_tflops * 1e12)
    workers = max(gpus, 1) * min(cost.workers, threads)
    return cost.largest * (cost.cpu_s / workers + cost.network_s(speed))
