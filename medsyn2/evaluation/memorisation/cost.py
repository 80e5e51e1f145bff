"""The cost of the search for copies: requests of training cases, cases that are decoded, and volumes that are compared.

Held-out volumes, their reconstructions, the decoded cases and every sample are compared with all training volumes: by
the distances of thumbnails, and by the leading components of features.
"""

from medsyn2.evaluation.features.sizes import RADIMAGENET_WIDTH, THUMBNAIL, WEIGHT_FREE_WIDTH
from medsyn2.planning.costs import CT_BYTES_PER_VOXEL, REGISTER_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun

SECONDS_PER_FLOP = 1 / 60e9
"""CPU seconds of an operation of the distances: products of matrices in double precision (`benchmarks/metrics.py`)."""

SECONDS_PER_PRODUCT = 1 / 2.7e9
"""CPU seconds of the components, for each case and pair of features: 0.06 s for 1,000 x 400."""

PLANES = 3


def sample_training(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    cost, volumes = run.sampling.cost, _num_recalled(run)
    flops = volumes * run.sampling.volume_flops
    return Cost(
        "sample_training",
        1,
        START_S + volumes * REGISTER_S_PER_MVOXEL * run.work.grid_voxels / 1e6,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=cost.memory_bytes,
        device_bytes=cost.device_bytes,
        disk_bytes=volumes * CT_BYTES_PER_VOXEL * run.work.grid_voxels,
        basis=f"{volumes} volumes of training cases' own requests",
    )


def _num_recalled(run: PlannedRun) -> int:
    asked = min(run.config.evaluate_memorisation.num_prompts, run.work.train_cases)
    return asked * run.config.sample.num_conditions


def evaluate_memorisation(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    settings, sample, cases = run.config.evaluate_memorisation, run.config.sample, run.work.train_cases
    searched = cases if settings.max_train is None else min(cases, settings.max_train)
    decoded, decoding = min(searched, settings.num_copies), run.networks.decoding()
    sampled = run.num_sampled * sample.num_conditions + _num_recalled(run)
    sought = run.work.test_cases + run.reconstructed.cases + decoded + sampled
    features = PLANES * (WEIGHT_FREE_WIDTH if run.config.evaluate_fid.radimagenet is None else RADIMAGENET_WIDTH)
    # The nearest training volumes are compared with all the others in turn.
    operations = 2 * 2.0 * sought * searched * THUMBNAIL**3
    products = float(searched) * features * min(searched, features)
    held = 4.0 * THUMBNAIL**3 * (searched + sought) + 8.0 * features * (3 * searched + sought)
    flops = float(decoding.flops) * decoded
    return Cost(
        "evaluate_memorisation",
        1,
        START_S + operations * SECONDS_PER_FLOP + products * SECONDS_PER_PRODUCT,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=run.on_grid_bytes + held + 8.0 * 4 * run.work.test_cases * searched,
        device_bytes=decoding.peak_bytes,
        basis=f"{decoded} cases decoded, {sought} volumes compared with {searched}",
    )
