"""The cost of a stage, and the constants that were measured.

Stages that work on voxels cost what they were measured to cost for each voxel; stages that run networks cost the
operations that their shapes imply (`networks`), at the speed of the device. What nobody has measured is not guessed:
it is None, and shown as such.
"""

from dataclasses import dataclass, replace

GB = 1e9


@dataclass(frozen=True)
class Speed:
    """Operations of networks a second."""

    float32: float  # Without TF32
    bf16: float  # Under autocast to bfloat16; that of float32 where there are no units for it


@dataclass(frozen=True)
class Cost:
    """What one stage costs."""

    stage: str  # Its name
    jobs: int  # How many jobs it is; none if the configuration has no use for it
    cpu_s: float | None = 0.0  # CPU seconds of all jobs; None if nobody measured them
    flops: float = 0.0  # Operations of networks, of all jobs
    memory_bytes: float = 0.4 * GB  # Main memory of one job
    device_bytes: float = 0.0  # Memory of its networks with their tensors, on the GPU if there is one
    disk_bytes: float = 0.0  # What all jobs leave on the disk
    basis: str = ""  # Where the figures come from
    bf16_flops: float = 0.0  # Those of `flops` that run in bfloat16
    share: float | None = None  # The largest job's share of the time and operations; None if the jobs are equal
    workers: int = 1  # Threads that share the CPU seconds of a job
    variant: str = ""  # The variant whose stage it is; empty for the main model

    @property
    def largest(self) -> float:
        """The largest job's share of the time and operations."""
        return self.share if self.share is not None else 1 / max(self.jobs, 1)

    @property
    def name(self) -> str:
        """The stage, with its variant."""
        return f"{self.stage}, {self.variant}" if self.variant else self.stage

    def times(self, factor: float) -> "Cost":
        """Return the cost of `factor` times as much work and artefacts."""
        cpu_s = None if self.cpu_s is None else self.cpu_s * factor
        return replace(
            self,
            cpu_s=cpu_s,
            flops=self.flops * factor,
            bf16_flops=self.bf16_flops * factor,
            disk_bytes=self.disk_bytes * factor,
        )

    def network_s(self, speed: Speed) -> float:
        """Return the seconds that the networks of all jobs take, one after another."""
        return (self.flops - self.bf16_flops) / speed.float32 + self.bf16_flops / speed.bf16


def add_known(first: float | None, second: float | None) -> float | None:
    """Return the sum, which is unknown if a part is."""
    return None if first is None or second is None else first + second


START_S = 6.0
"""CPU seconds of a job before its first case: the interpreter and its imports (`logs/benchmarks` of the demo)."""

GRID_BYTES_PER_VOXEL = 19.0
"""Memory of register and masks for each voxel of the grid, beside 0.4 GB: a peak of 2.1 GB at 448 x 448 x 448
(`benchmarks/paper_grid.py`)."""

INVENTORY_S, INVENTORY_S_PER_MVOXEL = 0.43, (1.38 - 0.43) / 34.9
"""CPU seconds a case and for each million native voxels: 1.38 s at 512 x 512 x 133 and 0.55 s at 4.4 million voxels,
where the coarse look at the anatomy takes most (`benchmarks/paper_grid.py --inspect`)."""

READ_S_PER_MVOXEL = 0.9 / 89.9
"""CPU seconds to read a CT or a mask, for each million voxels: 0.9 s at 448 x 448 x 448."""

TEMPLATE_S_PER_CASE_AND_ROUND = 7.0
"""CPU seconds: 14 s for one case in two rounds at 448 x 448 x 448 (`benchmarks/paper_grid.py`)."""

REGISTER_S, REGISTER_S_PER_MVOXEL = 1.2, (8.6 - 1.2) / 89.9
"""CPU seconds a case and for each million voxels of the grid: 8.6 s at 448 x 448 x 448 in all, of which the search
takes 1.2 s (`benchmarks/paper_grid.py`)."""

CLASSICAL_S_AT_3_MM = 4.0
"""CPU seconds a case for all nine structures at 3 mm (`benchmarks/paper_grid.py`); they grow as the voxels do."""

CLASSICAL_BYTES_AT_3_MM = 0.3 * GB
"""Memory beside 0.4 GB (`benchmarks/segmenters.py`)."""

MASKS_S_PER_MVOXEL = 11.0 / 89.9
"""CPU seconds for nine masks and each million voxels of the grid: 11 s at 448 x 448 x 448
(`benchmarks/paper_grid.py`)."""

CT_BYTES_PER_VOXEL = 1.45
"""Disk of a registered or synthetic CT: 129 MB of noise-like int16 at 448 x 448 x 448, gzip; real ones take less."""

MASK_BYTES_PER_VOXEL = 0.01
"""Disk of a binary mask or label map, gzip: 0.9 MB at 448 x 448 x 448."""

LUNGMASK_S_PER_SLICE = 2 * 1.5
"""CPU seconds for the lobe model and the fill model (`make test-tools`)."""

LUNGMASK_BYTES = 1.4 * GB
"""Memory of both models (`make test-tools`)."""

LUNGMASK_GPU_S = 10.0
"""Seconds a CT on a GPU: "several seconds" in the package's README, for each of two models. Not measured here."""

TOTALSEGMENTATOR_GPU_S_PER_MVOXEL = 169.0 / 5 / 120.1
"""Seconds a network and million native voxels on an RTX 3090: 2 min 49 s for the five networks of ``total`` at
512 x 512 x 458 (the package's README). Not measured here."""

TOTALSEGMENTATOR_BYTES, TOTALSEGMENTATOR_DEVICE_BYTES = 10.6 * GB, 8.5 * GB
"""Memory at 512 x 512 x 458 (the package's README)."""

MEDPSEG_BYTES, MEDPSEG_DEVICE_BYTES = 16 * GB, 6 * GB
"""Least memory that the package's README asks for; nobody published its time."""

PHANTOM_S_PER_MVOXEL = 0.6
"""CPU seconds for each million voxels of a phantom at its scanner's spacing: 1.1 s for 97 x 142 x 142, without
writing it (`tests/unit/planning/test_costs.py` measures it again)."""
