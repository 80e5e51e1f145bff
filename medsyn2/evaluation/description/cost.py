"""The cost of extracting features: volumes that are read, and slices through the extractor."""

from medsyn2.cohort.plan import group_shards
from medsyn2.evaluation.features.cost import pass_cost
from medsyn2.evaluation.features.sizes import THUMBNAIL, THUMBNAIL_WINDOW, SliceSizes, takes_all_volumes
from medsyn2.planning.costs import READ_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun
from medsyn2.planning.workload import Workload
from medsyn2.vocabulary import WINDOWS_HU

THUMBNAIL_S_PER_MVOXEL = 5.1 / 89.9
"""CPU seconds for a thumbnail and each million voxels: 5.1 s at 448 x 448 x 448 (`benchmarks/metrics.py`)."""

INDICES_S_PER_MVOXEL = 0.24 / 4.1
"""CPU seconds for the indices and each million voxels: 0.24 s at 160 x 150 x 170, public CTs."""


def extract_features(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    if not takes_all_volumes(run.config):
        return Cost("extract_features", 0, basis="left to the evaluations: the protocol takes a few volumes")
    sample, scores, work = run.config.sample, run.config.evaluate_scores, run.work
    searched = len({THUMBNAIL_WINDOW, *(() if scores.command else scores.windows)})
    conditions = sample.num_conditions
    seen = work.test_cases + run.num_sampled * conditions
    others = work.train_cases + run.reconstructed.cases
    passes = seen * len(WINDOWS_HU) + others * searched
    volume_flops, peak_bytes = pass_cost(run.config)
    mvoxels, jobs = (seen + others) * work.grid_voxels / 1e6, work.both.batches(work.grid_voxels).jobs
    return Cost(
        "extract_features",
        jobs,
        jobs * START_S
        + mvoxels * (READ_S_PER_MVOXEL + THUMBNAIL_S_PER_MVOXEL)
        + seen * work.grid_voxels / 1e6 * INDICES_S_PER_MVOXEL,
        passes * volume_flops,
        memory_bytes=run.on_grid_bytes,
        device_bytes=peak_bytes,
        disk_bytes=passes * SliceSizes.of(run.config).bytes_per_pass + 4.0 * THUMBNAIL**3 * (seen + others),
        basis=f"{seen + others} volumes, {passes} times through the extractor in a window",
        share=_largest_share(work, searched, (1 + conditions) * len(WINDOWS_HU)),
    )


def _largest_share(work: Workload, per_train: int, per_test: int) -> float:
    """Return the largest job's share, with the passes of a training case and of a held-out one."""
    counts = zip(work.train.counts, work.test.counts, strict=True)
    of_shard = [per_train * train + per_test * test for train, test in counts]
    groups = group_shards(work.both.counts, work.grid_voxels)
    return max(sum(of_shard[one] for one in group) for group in groups) / sum(of_shard)
