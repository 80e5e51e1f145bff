"""The features of volumes that evaluate_fid compares: how many there are, and what a job holds of them at once.

Without torch and numpy, for the workflow asks the rule's memory of it whenever it is parsed.
"""

from dataclasses import dataclass
from math import prod

from medsyn2.config import Config
from medsyn2.planning.costs import GB
from medsyn2.vocabulary import WINDOWS_HU

WIDTHS = {"weight_free": 226, "radimagenet": 2048}
"""Features of a slice."""

_CUBE, _CENTRAL_SHARE, _MAX_VOLUMES = 512, {"maisi": 0.4, "vlm3d": 1.0}, {"vlm3d": 100}
_PREPARED_BYTES_PER_VOXEL = 19.0
_KERNEL_SLICES, _KERNEL_ROWS, _CHUNK_ROWS = 16, 4096, 8192


@dataclass(frozen=True)
class Banks:
    """What evaluate_fid extracts and compares.

    Attributes:
        real: Real volumes.
        synthetic: Volumes of each condition, at most.
        conditions: How many conditions there are; other generators are taken to have one of the real ones' size each.
        slices: Slices of a volume on each plane.
        shapes: Height and width of the slices of each plane.
        width: Features of a slice.
        num_draws: Resamples.
    """

    real: int
    synthetic: int
    conditions: int
    slices: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    width: int
    num_draws: int

    @classmethod
    def of(cls, config: Config, test_cases: int, shards: int) -> "Banks":
        """Return those of a configuration and so many held-out cases in so many shards."""
        fid, sample = config.evaluate_fid, config.sample
        own_grid = fid.protocol == "paper"
        grid = config.grid.shape if own_grid else (_CUBE, _CUBE, _CUBE)
        taken = [round(_CENTRAL_SHARE.get(fid.protocol, 1.0) * length) for length in grid]
        depth, height, width = grid
        most = _MAX_VOLUMES.get(fid.protocol, test_cases)
        sampled = test_cases if sample.max_cases is None else min(test_cases, sample.max_cases * shards)
        return cls(
            real=min(test_cases, most),
            synthetic=min(test_cases if fid.baselines else sampled, most),
            conditions=len(sample.structures) + sample.with_report + len(fid.baselines),
            slices=tuple(min(fid.slices_per_volume or length, length) for length in taken),
            shapes=((height, width), (depth, width), (depth, height)),
            width=WIDTHS["weight_free" if fid.radimagenet is None else "radimagenet"],
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
        prepared = 0.6 * GB + _PREPARED_BYTES_PER_VOXEL * max(
            grid_voxels, prod(self.shapes[0]) * self.shapes[1][0]
        )
        volumes = self.real + self.synthetic
        row = 4.0 * self.width
        held = row * volumes * sum(self.slices)
        rows = [count * max(self.slices) for count in (self.real, self.synthetic)]
        thinned = [count * min(max(self.slices), _KERNEL_SLICES) for count in (self.real, self.synthetic)]
        kernel = 4 * row * sum(thinned) + 24.0 * min(max(thinned), _KERNEL_ROWS) * max(thinned)
        if min(rows) < self.width:
            distance = row * 5 * sum(rows) + 16.0 * rows[0] * rows[1]
        else:
            distance = row * (sum(rows) + 6 * _CHUNK_ROWS) + 80.0 * self.width**2
        joining = row * max(rows)
        return max(prepared, 0.6 * GB + held + max(kernel, distance, joining))
