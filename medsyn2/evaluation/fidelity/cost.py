"""The cost of comparing features: distances, and the slices that are not extracted shard by shard."""

from medsyn2.evaluation.features.cost import pass_cost
from medsyn2.evaluation.fidelity.memory import Banks
from medsyn2.planning.costs import READ_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun
from medsyn2.vocabulary import WINDOWS_HU

SECONDS_PER_FLOP_OF_FEW = 1 / 13e9
"""CPU seconds for each operation of the Frechet distance by singular values, with fewer slices than features: 1.7 s for
1,500 x 2,048 on each side (`benchmarks/metrics.py`)."""

_WIDTH = 2048
"""Features of the measurements below; the work on moments grows as their square, that on roots as their cube."""

PASS_S = 0.8 / 8192
"""CPU seconds for the moments of one slice, or for its influence (`benchmarks/metrics.py`, as the next)."""

DISTANCE_S = 2.4
"""CPU seconds of a Frechet distance from pooled moments."""

TRANSPORT_S = 4.4
"""CPU seconds of the maps from which influences follow."""

KERNEL_S = 2.8 / 8192**2
"""CPU seconds of the kernel of two slices."""


def evaluate_fid(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    work = run.work
    banks = Banks.of(run.config, work.test_cases, work.test.jobs)
    passes = banks.passes_here + banks.faulty_passes
    read_s = passes / len(WINDOWS_HU) * READ_S_PER_MVOXEL * work.grid_voxels / 1e6
    comparisons = banks.conditions * len(WINDOWS_HU)
    compare_s = sum(_comparison_s(banks, slices) for slices in banks.slices) * comparisons
    volume_flops, peak_bytes = pass_cost(run.config)
    return Cost(
        "evaluate_fid",
        1,
        START_S + read_s + compare_s,
        passes * volume_flops,
        memory_bytes=banks.memory_bytes(work.grid_voxels),
        device_bytes=peak_bytes,
        disk_bytes=banks.disk_bytes,
        basis=f"at most {passes * sum(banks.slices):,.0f} slices through the extractor, "
        f"{banks.distances * comparisons * len(banks.slices):,.0f} distances",
    )


def _comparison_s(banks: Banks, slices: int) -> float:
    """Return the CPU seconds of one condition on a plane with so many slices a volume."""
    real, synthetic = banks.real * slices, banks.synthetic * slices
    thinned = [banks.thinned(count, slices) for count in (banks.real, banks.synthetic)]
    kernel_s = sum(thinned) * thinned[1] * KERNEL_S * banks.width / _WIDTH
    if min(real, synthetic) <= banks.width:
        few, many = sorted(min(rows, banks.width) for rows in (real, synthetic))
        flops = 2.0 * few * many * banks.width + 4.0 * few**2 * many
        return kernel_s + (banks.distances + 3) * flops * SECONDS_PER_FLOP_OF_FEW
    # All and each division's groups and half, and the influences; the real ones' only division is shared by conditions.
    passes = (2 + 1.5 * banks.num_draws) * synthetic + (1 + 2 * banks.num_draws * (banks.num_draws > 1)) * real
    scale = banks.width / _WIDTH
    return kernel_s + passes * PASS_S * scale**2 + (banks.distances * DISTANCE_S + TRANSPORT_S) * scale**3
