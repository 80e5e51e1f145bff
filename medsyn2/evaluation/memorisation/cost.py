"""The cost of the search for copies: the training cases that are decoded, and the thumbnails that are held."""

from medsyn2.evaluation.features.sizes import THUMBNAIL
from medsyn2.planning.costs import START_S, Cost
from medsyn2.planning.run import PlannedRun

SECONDS_PER_FLOP = 1 / 20e9
"""CPU seconds of an operation of the distances: products of matrices in double precision (`benchmarks/metrics.py`)."""


def evaluate_memorisation(run: PlannedRun) -> Cost:
    """Estimate the stage: volumes, and those nearest to them, are compared with all training volumes."""
    settings, sample, cases = run.config.evaluate_memorisation, run.config.sample, run.work.train_cases
    searched = cases if settings.max_train is None else min(cases, settings.max_train)
    decoded, decoding = min(searched, settings.num_copies), run.networks.decoding()
    sampled = run.num_sampled * sample.num_conditions
    sought = run.work.test_cases + run.reconstructed.cases + decoded + sampled
    return Cost(
        "evaluate_memorisation",
        1,
        START_S + 2 * sought * searched * 2.0 * THUMBNAIL**3 * SECONDS_PER_FLOP,
        float(decoding.flops) * decoded,
        memory_bytes=run.on_grid_bytes + 4.0 * THUMBNAIL**3 * (searched + sought),
        device_bytes=decoding.peak_bytes,
        basis=f"{decoded} cases decoded, {sought} volumes compared with {searched}",
    )
