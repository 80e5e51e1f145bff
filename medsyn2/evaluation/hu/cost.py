"""The cost of measuring HU: real and synthetic volumes that are read and measured."""

from medsyn2.planning.costs import READ_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun

MEASURE_S_PER_MVOXEL = 2.0 / 16.8
"""CPU seconds for three organs and three tissues and each million voxels: 2.0 s at 256 x 256 x 256, a body of noise."""


def measure_hu(run: PlannedRun) -> Cost:
    """Estimate the stage: each held-out case, and a volume of each condition for those that are sampled."""
    volumes = run.work.test_cases + run.num_sampled * run.config.sample.num_conditions
    mvoxels, shards = volumes * run.work.grid_voxels / 1e6, run.work.measured
    return Cost(
        "measure_hu",
        shards.jobs,
        shards.jobs * START_S + mvoxels * (READ_S_PER_MVOXEL + MEASURE_S_PER_MVOXEL),
        memory_bytes=run.on_grid_bytes,
        basis=f"at most {volumes} volumes",
        share=shards.share,
    )


def evaluate_hu(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return Cost("evaluate_hu", 1, START_S, basis="the start")
