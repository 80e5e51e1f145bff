"""The stages that work on voxels: phantoms to masks."""

from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost
from medsyn2.planning.run import PlannedRun
from medsyn2.planning.segmenting import segmenting

_MVOXEL = 1e6


def phantoms(run: PlannedRun) -> Cost:
    """Estimate the stage, which has no job where there is a data folder."""
    if run.config.cohort.data_dir is not None:
        return Cost("phantoms", 0)
    work = run.work
    seconds = work.cases * costs.PHANTOM_S_PER_MVOXEL * work.native_voxels / _MVOXEL
    disk = work.cases * costs.CT_BYTES_PER_VOXEL * work.native_voxels
    return _of_shards(run, "phantoms", seconds, _on_native(run), disk, "voxels")


def inventory(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    one_s = costs.INVENTORY_S + costs.INVENTORY_S_PER_MVOXEL * run.work.native_voxels / _MVOXEL
    seconds = run.work.cases * one_s
    return _of_shards(run, "inventory", seconds, _on_native(run), 0.0, "native voxels")


def template(run: PlannedRun) -> Cost:
    """Estimate the stage; a given template is read and brought to the grid once."""
    settings, averaged = run.config.template, 1
    if settings.path is None:
        averaged = min(settings.num_cases, run.work.train_cases) * settings.num_rounds
    return Cost(
        "template",
        1,
        costs.START_S + costs.TEMPLATE_S_PER_CASE_AND_ROUND * averaged,
        memory_bytes=_on_grid(run),
        disk_bytes=costs.CT_BYTES_PER_VOXEL * run.work.grid_voxels,
        basis="cases and rounds",
    )


def register(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    work = run.work
    seconds = work.cases * (costs.REGISTER_S + costs.REGISTER_S_PER_MVOXEL * work.grid_voxels / _MVOXEL)
    disk = work.cases * costs.CT_BYTES_PER_VOXEL * work.grid_voxels
    return _of_shards(run, "register", seconds, _on_grid(run), disk, "voxels of the grid")


def segment(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return segmenting(run.config, run.work)


def masks(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    work, chosen = run.work, run.num_segmented
    seconds = work.cases * costs.MASKS_S_PER_MVOXEL * work.grid_voxels / _MVOXEL * chosen / 9
    disk = work.cases * costs.MASK_BYTES_PER_VOXEL * work.grid_voxels * (chosen + 1)
    return _of_shards(run, "masks", seconds, _on_grid(run), disk, "voxels of the grid")


def _of_shards(run: PlannedRun, stage: str, seconds: float, memory: float, disk: float, basis: str) -> Cost:
    every = run.work.both
    return Cost(
        stage,
        every.jobs,
        every.jobs * costs.START_S + seconds,
        memory_bytes=memory,
        disk_bytes=disk,
        basis=basis,
        share=every.share,
    )


def _on_grid(run: PlannedRun) -> float:
    return 0.4 * GB + costs.GRID_BYTES_PER_VOXEL * run.work.grid_voxels


def _on_native(run: PlannedRun) -> float:
    return 0.4 * GB + 8 * run.work.native_voxels
