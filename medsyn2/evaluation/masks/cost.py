"""The cost of comparing generated volumes with their masks: volumes that are segmented again."""

from medsyn2.planning.costs import Cost
from medsyn2.planning.run import PlannedRun


def evaluate_masks(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    requested = set(run.config.sample.structures)
    if run.config.evaluate_masks.structures is not None:
        requested &= set(run.config.evaluate_masks.structures)
    cases, reconstructed = run.num_sampled, run.count_held_out(run.config.evaluate_tokenizer.max_cases)
    volumes = len(requested) * (2 * cases + min(cases, reconstructed))
    again = run.segment_again(volumes, requested)
    return Cost(
        "evaluate_masks",
        1,
        again.cpu_s,
        memory_bytes=again.memory_bytes,
        device_bytes=again.device_bytes,
        basis=f"at most {volumes} volumes segmented; {again.basis}",
    )
