"""The cost of comparing features: distances, and the slices that are not extracted shard by shard."""

from medsyn2.evaluation.features.cost import pass_cost
from medsyn2.evaluation.fidelity.memory import Banks
from medsyn2.planning.costs import INVENTORY_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun
from medsyn2.vocabulary import WINDOWS_HU

SECONDS_PER_FLOP_OF_FEW = 1 / 19e9
"""CPU seconds for each operation of the Frechet distance by singular values, with fewer slices than features: 1.2 s for
1,500 x 2,048 on each side (`benchmarks/metrics.py`)."""

SECONDS_PER_FLOP_OF_MANY = 1 / 68e9
"""The same by moments: 3.7 s for 2,100 x 2,048 on each side (`benchmarks/metrics.py`)."""


def evaluate_fid(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    work = run.work
    banks = Banks.of(run.config, work.test_cases, work.test.jobs)
    read_s = banks.passes_here / len(WINDOWS_HU) * INVENTORY_S_PER_MVOXEL * work.grid_voxels / 1e6
    distances = banks.distances * banks.conditions * len(WINDOWS_HU)
    distance_s = sum(_distance_s(banks, slices) for slices in banks.slices) * distances
    volume_flops, peak_bytes = pass_cost(run.config)
    return Cost(
        "evaluate_fid",
        1,
        START_S + read_s + distance_s,
        banks.passes_here * volume_flops,
        memory_bytes=banks.memory_bytes(work.grid_voxels),
        device_bytes=peak_bytes if banks.passes_here else 0.0,
        disk_bytes=banks.disk_bytes,
        basis=f"at most {banks.passes_here * sum(banks.slices):,.0f} slices through the extractor, "
        f"{distances * len(banks.slices):,.0f} distances",
    )


def _distance_s(banks: Banks, slices: int) -> float:
    """Return the CPU seconds of one Frechet distance on a plane with so many slices a volume."""
    few, many = sorted((banks.real * slices, banks.synthetic * slices))
    if few < banks.width:
        return (2.0 * few * many * banks.width + 4.0 * few**2 * many) * SECONDS_PER_FLOP_OF_FEW
    return (2.0 * (few + many) * banks.width**2 + 25.0 * banks.width**3) * SECONDS_PER_FLOP_OF_MANY
