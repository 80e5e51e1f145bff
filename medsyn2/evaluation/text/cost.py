"""The cost of CLIP scores and zero-shot labels, of which only the memory is known."""

from medsyn2.planning.costs import Cost
from medsyn2.planning.run import PlannedRun


def evaluate_scores(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    command = run.config.evaluate_scores.command
    basis = f"the cost of {command[0]} is not known" if command else "nobody measured it"
    return Cost("evaluate_scores", 1, None, memory_bytes=run.on_grid_bytes, basis=basis)
