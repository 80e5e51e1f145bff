"""The features that are compared: how many there are, and how much of them a job holds at once.

They outgrow the usual memory of a job with the cohort.
"""

from dataclasses import dataclass
from math import prod

from medsyn2.config import Config
from medsyn2.evaluation.features.sizes import (
    CENTRAL_SHARE,
    CUBE_VOXELS,
    MAX_VOLUMES,
    RADIMAGENET_WIDTH,
    WEIGHT_FREE_WIDTH,
)
from medsyn2.evaluation.fidelity.sizes import FRECHET_CHUNK_ROWS, KERNEL_CHUNK_ROWS, KERNEL_MAX_SLICES
from medsyn2.planning.costs import GB
from medsyn2.vocabulary import WINDOWS_HU

PREPARED_BYTES_PER_VOXEL = 19.0
"""Memory of a volume that is resampled and cut for the extractor, for each voxel."""


@dataclass(frozen=True)
class Banks:
    """The features that evaluate_fid extracts and compares."""

    real: int  # Real volumes
    synthetic: int  # Volumes of each condition, at most
    # How many conditions there are; other generators are taken to have one of the real ones' size each
    conditions: int
    slices: tuple[int, ...]  # Slices of a volume on each plane
    shapes: tuple[tuple[int, int], ...]  # Height and width of the slices of each plane
    width: int  # Features of a slice
    num_draws: int  # Resamples

    @classmethod
    def of(cls, config: Config, test_cases: int, shards: int) -> "Banks":
        """Return those of a configuration and so many held-out cases in so many shards."""
        fid, sample = config.evaluate_fid, config.sample
        grid = config.grid.shape if fid.protocol == "paper" else (CUBE_VOXELS, CUBE_VOXELS, CUBE_VOXELS)
        taken = [round(CENTRAL_SHARE[fid.protocol] * length) for length in grid]
        depth, height, width = grid
        most = MAX_VOLUMES[fid.protocol] or test_cases
        sampled = test_cases if sample.max_cases is None else min(test_cases, sample.max_cases * shards)
        return cls(
            real=min(test_cases, most),
            synthetic=min(test_cases if fid.baselines else sampled, most),
            conditions=len(sample.structures) + sample.with_report + len(fid.baselines),
            slices=tuple(min(fid.slices_per_volume or length, length) for length in taken),
            shapes=((height, width), (depth, width), (depth, height)),
            width=WEIGHT_FREE_WIDTH if fid.radimagenet is None else RADIMAGENET_WIDTH,
            num_draws=fid.num_draws,
        )

    @property
    def passes(self) -> float:
        """Volumes, each counted once a window, that go through the extractor."""
        return len(WINDOWS_HU) * float(self.real + self.synthetic * self.conditions)

    @property
    def distances(self) -> float:
        """Frechet distances on a plane, of one condition: the value, and those of its draws."""
        quarter = max(self.num_draws // 4, 2) if self.num_draws else 0
        return 2 + self.num_draws + 5 * quarter

    @property
    def disk_bytes(self) -> float:
        """Features of single volumes, and once more as banks."""
        return 2 * self.passes * sum(self.slices) * self.width * 4

    def memory_bytes(self, grid_voxels: int) -> float:
        """Return the most that one job holds: a volume that is extracted, or the banks of one window."""
        prepared = 0.6 * GB + PREPARED_BYTES_PER_VOXEL * max(grid_voxels, prod(self.shapes[0]) * self.shapes[1][0])
        volumes = self.real + self.synthetic
        row = 4.0 * self.width
        held = row * volumes * sum(self.slices)
        rows = [count * max(self.slices) for count in (self.real, self.synthetic)]
        thinned = [count * min(max(self.slices), KERNEL_MAX_SLICES) for count in (self.real, self.synthetic)]
        kernel = 4 * row * sum(thinned) + 24.0 * min(max(thinned), KERNEL_CHUNK_ROWS) * max(thinned)
        if min(rows) < self.width:
            distance = row * 5 * sum(rows) + 16.0 * rows[0] * rows[1]
        else:
            distance = row * (sum(rows) + 6 * FRECHET_CHUNK_ROWS) + 80.0 * self.width**2
        joining = row * max(rows)
        return max(prepared, 0.6 * GB + held + max(kernel, distance, joining))
