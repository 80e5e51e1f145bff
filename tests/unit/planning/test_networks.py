"""Stages that run networks: operations that grow as they must, and the solver's own count of evaluations."""

import pytest

from medsyn2.commands.plan import all_costs
from medsyn2.config import Config, validate_config
from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import evaluations, network_costs
from medsyn2.planning.workload import Workload, workload_of
from medsyn2.stages import STAGES

SMALL = {
    "grid": {"shape": [16, 32, 32]},
    "tokenizer": {"hidden_channels": 4},
    "train_tokenizer": {"num_steps": 10, "crop_shape": [8, 16, 16]},
    "dit": {"width": 24, "depth": 1, "num_heads": 2},
    "train_dit": {"num_steps": 10},
    "sample": {"num_steps": 4},
}
WORK = Workload(8, 2, 1, 1e6, 50, 16 * 32 * 32)


def config(**changes: dict[str, object]) -> Config:
    values = {name: {**SMALL.get(name, {}), **changes.get(name, {})} for name in {*SMALL, *changes}}
    return validate_config(values, source="test")


@pytest.fixture(scope="module")
def found() -> dict[str, Cost]:
    """The costs of the small configuration."""
    return {cost.stage: cost for cost in network_costs(config(), WORK)}


@pytest.fixture(scope="module")
def more() -> dict[str, Cost]:
    """Those of one with twice the cases and one mask, twice the steps, and three micro-steps."""
    changes = {
        "segment": {"tools": {"heart": "classical"}},
        "train_tokenizer": {"num_steps": 20},
        "train_dit": {"num_steps": 20, "accumulate": 3},
    }
    work = Workload(16, 2, 1, 1e6, 50, 16 * 32 * 32)
    return {cost.stage: cost for cost in network_costs(config(**changes), work)}


@pytest.mark.parametrize(
    ("solver", "expected"), [("euler", 4), ("heun", 7), ("unipc", 4), ("dopri5", 25), ("warped_midpoint", 8)]
)
def test_evaluations_are_the_solver_s_own(solver: str, expected: int) -> None:
    plain = {"solver": solver, "guidance_mask": 1.0}
    assert evaluations(config(sample=plain)) == expected
    assert evaluations(config(sample={**plain, "guidance_mask": 2.0})) == 2 * expected


def test_the_paper_s_solver_takes_301() -> None:
    values = {"solver": "dopri5", "num_steps": 50, "guidance_mask": 1.0}
    assert evaluations(config(sample=values)) == 301


def test_operations_grow_with_steps_cases_and_masks(found: dict[str, Cost], more: dict[str, Cost]) -> None:
    assert more["train_tokenizer"].flops == 2 * found["train_tokenizer"].flops > 0
    assert more["train_dit"].flops == 2 * 3 * found["train_dit"].flops > 0
    assert more["encode_latents"].flops == 2 * found["encode_latents"].flops * 2 / 10


def test_the_store_is_as_large_as_its_numbers(found: dict[str, Cost], more: dict[str, Cost]) -> None:
    latent_bytes = 2 * 4 * (16 // 4) * (32 // 8) ** 2
    assert found["encode_latents"].disk_bytes == latent_bytes * 10 * 8
    assert more["encode_latents"].disk_bytes == latent_bytes * 2 * 16


def test_training_keeps_more_than_running_the_same_network(found: dict[str, Cost]) -> None:
    assert found["train_dit"].device_bytes > 16 * 1000
    assert found["train_tokenizer"].device_bytes > 0


def test_every_stage_that_runs_is_planned_once() -> None:
    stages = [cost.stage for cost in all_costs(config(), workload_of(config()))]
    assert sorted(stages) == sorted(set(STAGES) - {"evaluate_variants"})


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


def test_the_augmentation_study_costs_its_volumes_and_its_networks() -> None:
    def flops(**changes: object) -> float:
        settings = {"max_synthetic": 4, "num_seeds": 5, **changes}
        planned = network_costs(config(evaluate_augmentation=settings), WORK)
        return next(cost.flops for cost in planned if cost.stage == "evaluate_augmentation")

    networks = (flops(num_seeds=9) - flops()) / 4
    assert networks > 0
    assert flops(num_steps=60) - flops() == pytest.approx(5 * networks)
    volume = flops(max_synthetic=5) - flops()
    assert volume == pytest.approx((flops() - 5 * networks) / 4)
