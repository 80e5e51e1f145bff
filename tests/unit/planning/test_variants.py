from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import network_costs

from .conftest import WORK, config


def test_a_variant_costs_a_training_and_its_volumes_of_its_own_network(found: dict[str, Cost]) -> None:
    variants = {"twice": {"train_dit": {"num_steps": 20}}, "lean": {"dit": {"conv": False}}}
    costs = {cost.stage: cost for cost in network_costs(config(variants=variants), WORK)}
    assert set(costs) - set(found) == {
        *(f"{stage}, {name}" for stage in ("train_dit", "sample") for name in variants),
        "evaluate_variants",
    }
    assert costs["train_dit, twice"].flops == 2 * found["train_dit"].flops
    assert costs["sample, twice"].flops == found["sample"].flops
    assert costs["train_dit, lean"].flops < found["train_dit"].flops
    assert {name: costs[name] for name in found} == found


def test_a_class_left_out_costs_volumes_with_and_without_its_masks() -> None:
    plain, lacking = (
        next(
            cost
            for cost in network_costs(config(variants={"other": {"train_dit": {"leave_out": left}}}), WORK)
            if cost.stage == "evaluate_variants"
        )
        for left in ([], ["nodules"])
    )
    assert "and 0 volumes" in plain.basis
    assert "and 8 volumes" in lacking.basis  # two models, two cases, with the mask and with an empty one
    assert lacking.flops > plain.flops > 0
