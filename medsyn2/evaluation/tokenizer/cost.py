"""The cost of reconstructing held-out volumes and their masks."""

from medsyn2.planning.costs import READ_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun


def evaluate_tokenizer(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    cases = run.count_held_out(run.config.evaluate_tokenizer.max_cases)
    volumes = cases * (1 + run.num_segmented)
    encoding, decoding = run.networks.encoding(), run.networks.decoding()
    flops = float(encoding.flops + decoding.flops) * volumes
    return Cost(
        "evaluate_tokenizer",
        1,
        START_S + volumes * READ_S_PER_MVOXEL * run.work.grid_voxels / 1e6,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=run.on_grid_bytes,
        device_bytes=max(encoding.peak_bytes, decoding.peak_bytes),
        basis=f"{cases} cases, the volume and at most {run.num_segmented} masks of each",
    )
