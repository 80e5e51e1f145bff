"""The cost of CLIP scores and zero-shot labels: the linear space, whose matrix has a row and a column a case."""

from medsyn2.evaluation.features.sizes import RADIMAGENET_WIDTH, WEIGHT_FREE_WIDTH
from medsyn2.evaluation.text.linear_clip import PENALTIES
from medsyn2.planning.costs import START_S, Cost
from medsyn2.planning.passes import text_width
from medsyn2.planning.run import PlannedRun

SECONDS_PER_CUBED_CASE = 1 / 4.8e9
"""CPU seconds of the eigenvectors, for each case cubed: 0.21 s for 1,000 cases."""

SECONDS_PER_FLOP = 1 / 50e9
"""CPU seconds of products of matrices: 0.011 s for 700 x 700 x 700."""

MATRICES = 6
"""Matrices with a number for each pair of cases that are alive at once: products, eigenvectors, workspace, squares."""

PLANES = 3


def evaluate_scores(run: PlannedRun) -> Cost:
    """Estimate the stage; the time of a user's own model is not known."""
    settings, cases = run.config.evaluate_scores, run.work.train_cases
    if settings.command:
        basis = f"the cost of {settings.command[0]} is not known"
        return Cost("evaluate_scores", 1, None, memory_bytes=run.on_grid_bytes, basis=basis)
    fitted = float(cases if settings.max_train is None else min(cases, settings.max_train))
    width = WEIGHT_FREE_WIDTH if run.config.evaluate_fid.radimagenet is None else RADIMAGENET_WIDTH
    features = PLANES * len(settings.windows) * width
    products = 2 * fitted**2 * (features + 2 * len(PENALTIES) * text_width(run.config))
    return Cost(
        "evaluate_scores",
        1,
        START_S + fitted**3 * SECONDS_PER_CUBED_CASE + products * SECONDS_PER_FLOP,
        memory_bytes=run.on_grid_bytes + 8 * fitted * (MATRICES * fitted + 3 * features),
        basis=f"a space fitted to {fitted:.0f} cases with {features} features each",
    )
