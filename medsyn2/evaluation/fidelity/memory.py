"""The features that are compared: how many there are, and how much of them a job holds at once.

They outgrow the usual memory of a job with the cohort.
"""

from dataclasses import dataclass
from math import prod

from medsyn2.config import Config
from medsyn2.evaluation.features.sizes import FRECHET_CHUNK_ROWS, MAX_VOLUMES, SliceSizes, takes_all_volumes
from medsyn2.evaluation.fidelity.sizes import (
    FAULT_VOLUMES,
    FAULTY_PASSES,
    FRECHET_KEPT,
    KERNEL_CHUNK_ROWS,
    KERNEL_MAX_ROWS,
    KERNEL_MAX_SLICES,
)
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
    num_draws: int  # Divisions of the patients
    passes_here: float  # Volumes, each counted once a window, that the stage extract_features leaves to this one

    @classmethod
    def of(cls, config: Config, test_cases: int, shards: int) -> "Banks":
        """Return those of a configuration and so many held-out cases in so many shards."""
        fid, sample = config.evaluate_fid, config.sample
        sizes = SliceSizes.of(config)
        most = MAX_VOLUMES[fid.protocol] or test_cases
        sampled = test_cases if sample.max_cases is None else min(test_cases, sample.max_cases * shards)
        real, synthetic = min(test_cases, most), min(test_cases if fid.baselines else sampled, most)
        conditions = sample.num_conditions + len(fid.baselines)
        here = synthetic * len(fid.baselines) if takes_all_volumes(config) else real + synthetic * conditions
        return cls(
            real=real,
            synthetic=synthetic,
            conditions=conditions,
            slices=sizes.slices,
            shapes=sizes.shapes,
            width=sizes.width,
            num_draws=fid.num_draws,
            passes_here=len(WINDOWS_HU) * float(here),
        )

    @property
    def passes(self) -> float:
        """Volumes, each counted once a window, that go through the extractor."""
        return len(WINDOWS_HU) * float(self.real + self.synthetic * self.conditions)

    @property
    def faulty_passes(self) -> float:
        """Passes through the extractor of real volumes with faults."""
        return float(len(WINDOWS_HU) * FAULTY_PASSES * min(FAULT_VOLUMES, self.real))

    @property
    def distances(self) -> int:
        """Frechet distances on a plane, of one condition: the value, and seven of each division."""
        # Two of halves for the floor; two of halves and three of two thirds for the extrapolation.
        return 1 + 7 * self.num_draws

    def thinned(self, count: int, slices: int) -> int:
        """Return the slices of so many volumes that the kernel distance takes."""
        return count * min(slices, KERNEL_MAX_SLICES, max(1, KERNEL_MAX_ROWS // count))

    @property
    def disk_bytes(self) -> float:
        """Features as banks, and once more those of single volumes that are extracted here."""
        return (self.passes + self.passes_here) * sum(self.slices) * self.width * 4

    def memory_bytes(self, grid_voxels: int) -> float:
        """Return the most that one job holds: a volume that is extracted, or the banks of one window."""
        prepared = 0.6 * GB + PREPARED_BYTES_PER_VOXEL * max(grid_voxels, prod(self.shapes[0]) * self.shapes[1][0])
        volumes = self.real + self.synthetic
        row = 4.0 * self.width
        held = row * volumes * sum(self.slices)
        rows = [count * max(self.slices) for count in (self.real, self.synthetic)]
        thinned = sum(self.thinned(count, max(self.slices)) for count in (self.real, self.synthetic))
        kernel = row * 3 * thinned + 12.0 * KERNEL_CHUNK_ROWS * thinned
        kept = 6 * (FRECHET_KEPT + 1) if min(rows) > self.width else 0
        distance = row * (max(rows) / 2 + 6 * FRECHET_CHUNK_ROWS) + (96.0 + 8.0 * kept) * self.width**2
        joining = row * max(rows)
        dealing = 48.0 * volumes**2  # kernel, distances and pairs of volumes in double precision
        return max(prepared, 0.6 * GB + held + max(kernel, distance, joining, dealing))
