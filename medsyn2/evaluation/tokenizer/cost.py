"""The cost of reconstructing held-out volumes and their masks."""

from medsyn2.planning.costs import START_S, Cost
from medsyn2.planning.run import PlannedRun


def evaluate_tokenizer(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    cases = run.count_held_out(run.config.evaluate_tokenizer.max_cases)
    encoding, decoding = run.networks.encoding(), run.networks.decoding()
    return Cost(
        "evaluate_tokenizer",
        1,
        START_S,
        float(encoding.flops + decoding.flops) * cases * 2,
        memory_bytes=run.on_grid_bytes,
        device_bytes=max(encoding.peak_bytes, decoding.peak_bytes),
        basis=f"{cases} cases and their masks",
    )
