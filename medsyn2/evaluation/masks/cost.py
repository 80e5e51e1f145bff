"""The cost of comparing generated volumes with their masks: volumes that are segmented again."""

from medsyn2.planning.costs import Cost
from medsyn2.planning.run import PlannedRun


def evaluate_masks(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    sample, chosen = run.config.sample, run.config.evaluate_masks.structures
    compared = set(sample.all_structures if chosen is None else chosen)
    conditions = sum(structure in compared for structure in (*sample.structures, *sample.joint))
    real = len(compared & set(sample.all_structures))
    cases, reconstructed = run.num_sampled, run.count_held_out(run.config.evaluate_tokenizer.max_cases)
    volumes = conditions * cases + real * (cases + min(cases, reconstructed))
    again = run.segment_again(volumes)
    return Cost(
        "evaluate_masks",
        1,
        again.cpu_s,
        memory_bytes=again.memory_bytes,
        device_bytes=again.device_bytes,
        basis=f"at most {volumes} volumes segmented; {again.basis}",
    )
