"""The cost of reconstructing held-out volumes and their masks."""

from medsyn2.planning.costs import CT_BYTES_PER_VOXEL, MASK_BYTES_PER_VOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun

COMPARE_S_PER_MVOXEL = 0.75
"""CPU seconds for both SSIMs, the body and the errors of each million voxels: 61 s at 448 x 448 x 448 (`--side 448
--ssim-side 448` of `benchmarks/metrics.py` for the larger part)."""


def reconstruct(run: PlannedRun) -> Cost:
    """Estimate the stage: the volume and the masks of each case, there and back."""
    cases, mvoxels = run.count_held_out(run.config.evaluate_tokenizer.max_cases), run.work.grid_voxels / 1e6
    masks = sum(tool is not None for tool in run.config.segment.tools.values())
    encoding, decoding = run.networks.encoding(), run.networks.decoding()
    disk = CT_BYTES_PER_VOXEL + masks * MASK_BYTES_PER_VOXEL
    return Cost(
        "reconstruct",
        run.work.reconstructing_jobs,
        run.work.reconstructing_jobs * START_S + cases * COMPARE_S_PER_MVOXEL * mvoxels,
        float(encoding.flops + decoding.flops) * cases * (1 + masks),
        memory_bytes=run.on_grid_bytes,
        device_bytes=max(encoding.peak_bytes, decoding.peak_bytes),
        disk_bytes=disk * cases * run.work.grid_voxels,
        basis=f"{cases} cases and at most {masks} masks of each",
    )


def evaluate_tokenizer(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return Cost("evaluate_tokenizer", 1, START_S, basis="the start")
