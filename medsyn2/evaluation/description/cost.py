"""The cost of extracting features: volumes that are read, and slices through the extractor."""

from medsyn2.evaluation.features.cost import pass_cost
from medsyn2.evaluation.features.sizes import SliceSizes, takes_all_volumes
from medsyn2.evaluation.features.thumbnails import THUMBNAIL, THUMBNAIL_WINDOW
from medsyn2.planning.costs import INVENTORY_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun
from medsyn2.vocabulary import WINDOWS_HU

THUMBNAIL_S_PER_MVOXEL = 5.1 / 89.9
"""CPU seconds for a thumbnail and each million voxels: 5.1 s at 448 x 448 x 448 (`benchmarks/metrics.py`)."""


def extract_features(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    if not takes_all_volumes(run.config):
        return Cost("extract_features", 0, basis="left to the evaluations: the protocol takes a few volumes")
    sample, scores = run.config.sample, run.config.evaluate_scores
    searched = len({THUMBNAIL_WINDOW, *(() if scores.command else scores.windows)})
    seen = run.work.test_cases + run.num_sampled * (len(sample.structures) + sample.with_report)
    others = run.work.train_cases + run.count_held_out(run.config.evaluate_tokenizer.max_cases)
    passes = seen * len(WINDOWS_HU) + others * searched
    volume_flops, peak_bytes = pass_cost(run.config)
    mvoxels = (seen + others) * run.work.grid_voxels / 1e6
    return Cost(
        "extract_features",
        run.work.extracting_jobs,
        run.work.extracting_jobs * START_S + mvoxels * (INVENTORY_S_PER_MVOXEL + THUMBNAIL_S_PER_MVOXEL),
        passes * volume_flops,
        memory_bytes=run.on_grid_bytes,
        device_bytes=peak_bytes,
        disk_bytes=passes * SliceSizes.of(run.config).bytes_per_pass + 4.0 * THUMBNAIL**3 * (seen + others),
        basis=f"{seen + others} volumes, {passes} times through the extractor in a window",
    )
