"""The costs of the studies of control: the volumes that they sample with the main model and its variants."""

from medsyn2.evaluation.control.sizes import TIMES, num_edits
from medsyn2.planning.costs import START_S, Cost, add_known
from medsyn2.planning.run import PlannedRun

NUM_COMBINATIONS = 4
"""Combinations of report and mask in which the flow loss of a case is measured."""


def evaluate_edits(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    edits, sampling = run.config.evaluate_edits, run.sampling
    # Where the edits have a report, so has the volume that they are compared with.
    unedited = int(edits.with_report)
    each = [edits.num_seeds + unedited + num_edits(structure) for structure in edits.structures]
    segmented = edits.max_cases * sum(each)
    volumes = segmented + edits.max_cases * (2 * len(edits.progressive) - 1)
    again, flops = run.segment_again(segmented, edits.structures), volumes * sampling.volume_flops
    return Cost(
        "evaluate_edits",
        1,
        add_known(START_S, again.cpu_s),
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=max(sampling.cost.memory_bytes, again.memory_bytes),
        device_bytes=max(sampling.cost.device_bytes, again.device_bytes),
        basis=f"at most {volumes} volumes, {segmented} of them segmented again",
    )


def evaluate_attention(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    reports = run.count_held_out(run.config.evaluate_attention.max_cases)
    flops = reports * run.sampling.volume_flops
    return Cost(
        "evaluate_attention",
        1,
        START_S,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=run.sampling.cost.memory_bytes,
        device_bytes=run.sampling.cost.device_bytes,
        basis=f"{reports} volumes; forming the maps is not counted",
    )


def evaluate_variants(run: PlannedRun) -> Cost:
    """Estimate the stage; the trainings and the volumes of the variants are estimated with the main model's."""
    config = run.config
    left_out = [name for variant in config.variants.values() for name in variant.train_dit.leave_out]
    cases = run.count_held_out(config.evaluate_variants.max_cases)
    # With the mask and with an empty one, by the variant and once by the main model.
    volumes = 2 * cases * (len(left_out) + len(set(left_out)))
    passes = (len(config.variants) + 1) * cases * NUM_COMBINATIONS * len(TIMES)
    flops = volumes * run.sampling.volume_flops + passes * run.sampling.forward_flops
    return Cost(
        "evaluate_variants",
        1,
        None,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=run.sampling.cost.memory_bytes,
        device_bytes=run.sampling.cost.device_bytes,
        basis=f"at most {passes} runs of a transformer and {volumes} volumes; tables of each variant are not counted",
    )
