import numpy as np
import pytest

from medsyn2.evaluation.control.cost import NUM_COMBINATIONS, evaluate_attention, evaluate_edits, evaluate_variants
from medsyn2.evaluation.control.losses import combinations
from tests.unit.planned import planned_run


def test_edits_cost_their_seeds_and_edits_and_steps_of_progressive_synthesis() -> None:
    settings = {"structures": ["lobes"], "max_cases": 2, "num_seeds": 3, "progressive": ["lobes", "heart"]}
    cost = evaluate_edits(planned_run(evaluate_edits=settings))
    assert cost.basis == "at most 18 volumes, 12 of them segmented again"
    more = evaluate_edits(planned_run(evaluate_edits={**settings, "progressive": ["lobes", "heart", "nodules"]}))
    assert more.flops == pytest.approx(cost.flops * 22 / 18)
    finding = evaluate_edits(planned_run(evaluate_edits={**settings, "structures": ["nodules"], "with_report": False}))
    assert finding.basis == "at most 22 volumes, 16 of them segmented again"


def test_attention_costs_a_volume_a_report_of_the_held_out_cases() -> None:
    one, many = (evaluate_attention(planned_run(evaluate_attention={"max_cases": n})) for n in (1, 9))
    assert many.flops == 2 * one.flops > 0


def test_structure_left_out_costs_volumes_with_and_without_its_masks() -> None:
    plain, lacking = (
        evaluate_variants(planned_run(variants={"other": {"train_dit": {"leave_out": left_out}}}))
        for left_out in ([], ["nodules"])
    )
    assert "and 0 volumes" in plain.basis
    assert "and 8 volumes" in lacking.basis  # two models, two cases, with the mask and with an empty one
    assert lacking.flops > plain.flops > 0


def test_flow_loss_is_measured_in_as_many_combinations_as_are_counted() -> None:
    mask = np.ones((2, 2, 2), bool)
    assert len(list(combinations("a report", mask, "heart", 0))) == NUM_COMBINATIONS
