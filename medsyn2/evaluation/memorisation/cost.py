"""The cost of the search for copies: the training cases that are decoded, and the volumes that are compared.

Each condition, the controls and the reconstructions are searched by themselves, beside the held-out volumes: by the
distances of thumbnails, and by the leading components of features.
"""

from medsyn2.evaluation.features.sizes import RADIMAGENET_WIDTH, WEIGHT_FREE_WIDTH
from medsyn2.evaluation.memorisation.sizes import THUMBNAIL
from medsyn2.planning.costs import START_S, Cost
from medsyn2.planning.run import PlannedRun

SECONDS_PER_DIFFERENCE = 1 / 1.3e9
"""CPU seconds for each pair of numbers of a distance: 0.25 s for 100 x 100 thumbnails of 32 x 32 x 32."""

SECONDS_PER_PRODUCT = 1 / 2.7e9
"""CPU seconds of the components, for each case and pair of features: 0.06 s for 1,000 x 400."""

PLANES = 3


def evaluate_memorisation(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    settings, sample, cases = run.config.evaluate_memorisation, run.config.sample, run.work.train_cases
    searched = cases if settings.max_train is None else min(cases, settings.max_train)
    sets = len(sample.structures) + sample.with_report + 2
    compared = sets * (run.work.test_cases + run.num_sampled)
    features = PLANES * (WEIGHT_FREE_WIDTH if run.config.evaluate_fid.radimagenet is None else RADIMAGENET_WIDTH)
    # The nearest training volumes are compared with all the others in turn.
    differences = 2.0 * compared * searched * THUMBNAIL**3
    products = float(sets) * searched * features * min(searched, features)
    decoded, decoding = min(searched, settings.num_copies), run.networks.decoding()
    flops = float(decoding.flops) * decoded
    held = 4.0 * THUMBNAIL**3 * (searched + compared / sets * (sets + 1)) + 8.0 * 3 * searched * features
    return Cost(
        "evaluate_memorisation",
        1,
        START_S + differences * SECONDS_PER_DIFFERENCE + products * SECONDS_PER_PRODUCT,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=run.on_grid_bytes + held + 8.0 * 4 * run.work.test_cases * searched,
        device_bytes=decoding.peak_bytes,
        basis=f"{decoded} cases decoded, {compared} volumes compared with {searched}",
    )
