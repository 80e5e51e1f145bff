from medsyn2.evaluation.masks.cost import evaluate_masks, measure_masks, segment_samples
from medsyn2.planning.run import PlannedRun
from tests.unit.planned import planned_run


def run(kept: int, structures: list[str] | None, joint: tuple[str, ...] = (), **tools: str) -> PlannedRun:
    """Return a run with so many cases reconstructed and these structures compared."""
    return planned_run(
        sample={"structures": ["lobes", "nodules"], "joint": joint},
        evaluate_masks={"structures": structures, "tools": tools},
        evaluate_tokenizer={"max_cases": kept},
    )


def test_volumes_are_segmented_again_with_their_real_ones_and_their_reconstructions() -> None:
    # The lobes of two held-out cases, real and generated, and those of the cases that were reconstructed.
    assert segment_samples(run(1, ["lobes", "heart"])).basis.startswith("at most 5 volumes")
    assert segment_samples(run(9, ["lobes", "heart"])).basis.startswith("at most 6 volumes")
    # A real volume is segmented once for both structures.
    assert segment_samples(run(9, None)).basis.startswith("at most 8 volumes")
    # Volumes of report and mask share the real ones with those of the mask alone.
    assert segment_samples(run(9, None, ("lobes", "heart"))).basis.startswith("at most 12 volumes")


def test_the_tool_of_a_structure_decides_the_time_and_the_memory() -> None:
    classical, network = segment_samples(run(1, None)), segment_samples(run(1, None, lobes="lungmask"))
    assert network.cpu_s > classical.cpu_s > 0
    assert network.memory_bytes > classical.memory_bytes
    assert segment_samples(run(1, None, nodules="medpseg")).cpu_s is None


def test_every_mask_is_compared_with_its_own_and_with_others() -> None:
    # Two volumes a structure: requested, ceiling, four others; and twice the one that was reconstructed.
    assert measure_masks(run(1, ["lobes"])).basis == "at most 14 pairs of masks"
    assert measure_masks(run(1, ["lobes"], ("lobes",))).basis == "at most 25 pairs of masks"
    assert measure_masks(run(1, None)).cpu_s > measure_masks(run(1, ["lobes"])).cpu_s
    assert evaluate_masks(run(1, None)).flops == 0
