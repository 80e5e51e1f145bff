"""The cost of the search for copies: the training cases that are decoded, and the thumbnails that are held."""

from medsyn2.evaluation.memorisation.sizes import THUMBNAIL
from medsyn2.planning.costs import Cost
from medsyn2.planning.run import PlannedRun


def evaluate_memorisation(run: PlannedRun) -> Cost:
    """Estimate the stage; nobody has measured the time of the search."""
    settings, cases = run.config.evaluate_memorisation, run.work.train_cases
    searched = cases if settings.max_train is None else min(cases, settings.max_train)
    decoded, decoding = min(searched, settings.num_copies), run.networks.decoding()
    return Cost(
        "evaluate_memorisation",
        1,
        None,
        float(decoding.flops) * decoded,
        memory_bytes=run.on_grid_bytes + 4.0 * THUMBNAIL**3 * searched,
        device_bytes=decoding.peak_bytes,
        basis=f"{decoded} cases decoded; nobody measured the rest",
    )
