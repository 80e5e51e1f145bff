"""How much there is to do: cases and their size, from file names and a few headers."""

import gzip
import logging
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path

from medsyn2.cohort.plan import group_shards, plan_run
from medsyn2.config import Config
from medsyn2.ct.nifti.header import looks_like_nifti, parse_header
from medsyn2.errors import CaseError

log = logging.getLogger(__name__)

USUAL_SHAPE = (512, 512, 300)
"""Columns, rows and slices of a usual chest CT, assumed where no header can be read."""
_HEADER_BYTES = 1024
_PHANTOM_MM = (408.0, 408.0, 312.0)


@dataclass(frozen=True)
class Shards:
    """Cases of one kind, shard by shard: a stage that works on them has a job for each shard that holds any."""

    counts: tuple[int, ...]  # Cases of each shard

    @property
    def cases(self) -> int:
        """The cases of all shards."""
        return sum(self.counts)

    @property
    def jobs(self) -> int:
        """The shards that hold a case."""
        return sum(count > 0 for count in self.counts)

    @property
    def share(self) -> float:
        """The largest shard's share of the cases; 1 if there are none."""
        return max(self.counts) / self.cases if self.cases else 1.0

    def at_most(self, limit: int | None) -> "Shards":
        """Return the first `limit` cases of each shard; None takes all."""
        return self if limit is None else Shards(tuple(min(count, limit) for count in self.counts))

    def first(self, limit: int | None) -> "Shards":
        """Return the first `limit` cases of all shards; None takes all."""
        if limit is None:
            return self
        before = accumulate(self.counts, initial=0)
        return Shards(tuple(min(count, max(limit - held, 0)) for count, held in zip(self.counts, before, strict=False)))

    def batches(self, voxels: int) -> "Shards":
        """Return the cases of each job that measures cases of so many voxels: of a shard, or of several."""
        return Shards(tuple(sum(self.counts[one] for one in group) for group in group_shards(self.counts, voxels)))


@dataclass(frozen=True)
class Workload:
    """The cohort in numbers."""

    train: Shards  # The cases that are trained on
    test: Shards  # The held-out ones
    native_voxels: float  # Voxels of a typical CT as it was acquired
    native_slices: float
    grid_voxels: int  # Voxels of the model's grid
    assumed: str = ""  # What was assumed because it could not be looked up; empty if nothing was

    @property
    def both(self) -> Shards:
        """All cases."""
        return Shards(tuple(map(sum, zip(self.train.counts, self.test.counts, strict=True))))

    @property
    def measured(self) -> Shards:
        """The held-out cases by the job that measures them."""
        return self.test.batches(self.grid_voxels)

    @property
    def cases(self) -> int:
        """The number of all cases."""
        return self.both.cases

    @property
    def train_cases(self) -> int:
        """The number of cases that are trained on."""
        return self.train.cases

    @property
    def test_cases(self) -> int:
        """The number of held-out cases."""
        return self.test.cases


def workload_of(config: Config) -> Workload:
    """Return a configuration's workload; lists the data folder and opens up to nine headers.

    Raises:
        ConfigError: If the data folder does not exist or is empty.
    """
    plan = plan_run(config)
    if plan.has_phantoms:
        shape = tuple(size / config.phantoms.spacing_mm for size in _PHANTOM_MM)
        assumed = ""
    else:
        shape, assumed = _typical_shape([Path(path) for path in plan.typical_files])
    train, test = Shards(plan.counts("train")), Shards(plan.counts("test"))
    return Workload(train, test, prod(shape), shape[2], prod(config.grid.shape), assumed)


def _typical_shape(paths: list[Path]) -> tuple[tuple[float, ...], str]:
    """Return the shape of the middle file by size."""
    shapes = []
    for path in paths:
        try:
            with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
                start = file.read(_HEADER_BYTES)
            if looks_like_nifti(start):
                shapes.append(parse_header(start, path.name).shape)
        except (CaseError, OSError, EOFError) as error:
            log.info("%s was not counted: %s", path, error)
    if not shapes:
        return USUAL_SHAPE, "no header could be read: CTs of " + " x ".join(map(str, USUAL_SHAPE)) + " are assumed"
    return sorted(shapes, key=prod)[len(shapes) // 2], ""
