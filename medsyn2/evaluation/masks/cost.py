"""The cost of comparing generated volumes with their masks: volumes that are segmented again, and distances."""

from medsyn2.evaluation.masks.sizes import NUM_SHUFFLES
from medsyn2.planning.costs import MASK_BYTES_PER_VOXEL, READ_S_PER_MVOXEL, START_S, Cost, add_known
from medsyn2.planning.run import PlannedRun
from medsyn2.vocabulary import Structure

SURFACE_S_PER_MVOXEL = 2.7 / 89.9
"""CPU seconds for the overlap and the distances of two masks, and each million voxels: 0.3 s (a heart) to 7.6 s
(vessels) at 448 x 448 x 448 (`benchmarks/metrics.py`)."""


def segment_samples(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model.

    Each tool is run once a real volume, and once a generated volume of its structures.
    """
    structures, conditions = _structures(run), _conditions(run)
    cases, reconstructed, shards = run.num_sampled, _num_reconstructed(run), run.work.measured
    parts = [run.segment_again(cases + reconstructed, structures)]
    parts += [run.segment_again(cases, [one]) for one in conditions]
    seconds: float | None = shards.jobs * START_S
    for part in parts:
        seconds = add_known(seconds, part.cpu_s)
    masks = len(conditions) * cases + len(structures) * (cases + reconstructed)
    return Cost(
        "segment_samples",
        shards.jobs,
        seconds,
        memory_bytes=max(run.on_grid_bytes, parts[0].memory_bytes),
        device_bytes=parts[0].device_bytes,
        disk_bytes=MASK_BYTES_PER_VOXEL * run.work.grid_voxels * masks,
        basis=f"at most {len(conditions) * cases + cases + reconstructed} volumes segmented; {parts[0].basis}",
        share=shards.share,
    )


def measure_masks(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    cases, reconstructed, shards = run.num_sampled, _num_reconstructed(run), run.work.measured
    real, generated = len(_structures(run)), len(_conditions(run))
    pairs = real * (cases + reconstructed) + generated * (cases * (1 + NUM_SHUFFLES) + reconstructed)
    return Cost(
        "measure_masks",
        shards.jobs,
        shards.jobs * START_S + pairs * (READ_S_PER_MVOXEL + SURFACE_S_PER_MVOXEL) * run.work.grid_voxels / 1e6,
        memory_bytes=run.on_grid_bytes,
        basis=f"at most {pairs} pairs of masks",
        share=shards.share,
    )


def evaluate_masks(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    return Cost("evaluate_masks", 1, START_S, basis="the start")


def _structures(run: PlannedRun) -> set[Structure]:
    """Return the structures that are found in real volumes."""
    asked, given = run.config.evaluate_masks.structures, set(run.config.sample.all_structures)
    return given if asked is None else given & set(asked)


def _conditions(run: PlannedRun) -> list[Structure]:
    """Return the structure of each condition whose volumes are segmented, twice where it is sampled in two ways."""
    sample, found = run.config.sample, _structures(run)
    return [structure for structure in (*sample.structures, *sample.joint) if structure in found]


def _num_reconstructed(run: PlannedRun) -> int:
    return min(run.num_sampled, run.reconstructed.cases)
