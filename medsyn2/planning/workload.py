"""How much there is to do: cases and their size, from file names and a few headers."""

import gzip
import logging
from dataclasses import dataclass
from math import prod
from pathlib import Path

from medsyn2.cohort.plan import plan_run
from medsyn2.config import Config
from medsyn2.ct.nifti.header import looks_like_nifti, parse_header
from medsyn2.errors import CaseError

log = logging.getLogger(__name__)

USUAL_SHAPE = (512, 512, 300)
"""Columns, rows and slices of a usual chest CT, assumed where no header can be read."""
_HEADER_BYTES = 1024
_LOOKED_AT = 9
_PHANTOM_MM = (408.0, 408.0, 312.0)


@dataclass(frozen=True)
class Workload:
    """The cohort in numbers."""

    cases: int  # All cases
    test_cases: int  # The held-out ones
    shards: int  # Shards, that is jobs of a sharded stage
    native_voxels: float  # Voxels of a typical CT as it was acquired
    native_slices: float
    grid_voxels: int  # Voxels of the model's grid
    assumed: str = ""  # What was assumed because it could not be looked up; empty if nothing was
    measuring_jobs: int = 1  # Jobs of a stage that measures the held-out cases
    reconstructing_jobs: int = 1  # Those of them whose cases go through the tokenizer
    extracting_jobs: int = 1  # Jobs that extract features of all cases

    @property
    def train_cases(self) -> int:
        """The cases that are trained on."""
        return self.cases - self.test_cases


def workload_of(config: Config) -> Workload:
    """Return a configuration's workload; lists the data folder and opens up to nine headers.

    Raises:
        ConfigError: If the data folder does not exist or is empty.
    """
    plan = plan_run(config)
    paths = sorted(Path(case.path) for cases in plan.cohort.shards.values() for case in cases)
    if plan.has_phantoms:
        shape = tuple(size / config.phantoms.spacing_mm for size in _PHANTOM_MM)
        assumed = ""
    else:
        shape, assumed = _typical_shape(paths)
    batches = plan.batches("test")
    return Workload(
        len(paths),
        plan.num_cases("test"),
        len(plan.shards),
        prod(shape),
        shape[2],
        prod(config.grid.shape),
        assumed,
        measuring_jobs=len(batches),
        reconstructing_jobs=len(plan.first_batches(batches, "test", config.evaluate_tokenizer.max_cases)),
        extracting_jobs=len(plan.batches()),
    )


def _typical_shape(paths: list[Path]) -> tuple[tuple[float, ...], str]:
    """Return the shape of the middle one, by size, of some evenly chosen files."""
    shapes = []
    for path in paths[:: max(len(paths) // _LOOKED_AT, 1)][:_LOOKED_AT]:
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
