"""The cost of reconstructing held-out volumes and their masks."""

from medsyn2.planning.costs import CT_BYTES_PER_VOXEL, MASK_BYTES_PER_VOXEL, READ_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun

COMPARE_S_PER_MVOXEL = 60.0 / 89.9
"""CPU seconds for both SSIMs, the body and the errors of each million voxels: 60 s at 448 x 448 x 448
(`benchmarks/metrics.py`)."""


def reconstruct(run: PlannedRun) -> Cost:
    """Estimate the stage: the volume and the masks of each case, there and back."""
    shards, mvoxels = run.reconstructed, run.work.grid_voxels / 1e6
    volumes = shards.cases * (1 + run.num_segmented)
    encoding, decoding = run.networks.encoding(), run.networks.decoding()
    flops = float(encoding.flops + decoding.flops) * volumes
    disk = CT_BYTES_PER_VOXEL + run.num_segmented * MASK_BYTES_PER_VOXEL
    seconds = (shards.cases * COMPARE_S_PER_MVOXEL + volumes * READ_S_PER_MVOXEL) * mvoxels
    return Cost(
        "reconstruct",
        shards.jobs,
        shards.jobs * START_S + seconds,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=run.on_grid_bytes,
        device_bytes=max(encoding.peak_bytes, decoding.peak_bytes),
        disk_bytes=disk * shards.cases * run.work.grid_voxels,
        basis=f"{shards.cases} cases, the volume and at most {run.num_segmented} masks of each",
        share=shards.share,
    )


def evaluate_tokenizer(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return Cost("evaluate_tokenizer", 1, START_S, basis="the start")
