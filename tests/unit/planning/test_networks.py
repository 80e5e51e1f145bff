"""Stages that run networks: operations that grow as they must."""

import pytest

from medsyn2.commands.plan import all_costs
from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import network_costs
from medsyn2.planning.workload import Workload, workload_of
from medsyn2.stages import STAGES
from tests.unit.planned import config, planned_run


@pytest.fixture(scope="module")
def more() -> dict[str, Cost]:
    """Those of one with twice the cases and one mask, twice the steps, and three micro-steps."""
    changes = {
        "segment": {"tools": {"heart": "classical"}},
        "train_tokenizer": {"num_steps": 20},
        "train_dit": {"num_steps": 20, "accumulate": 3},
    }
    work = Workload(16, 2, 1, 1e6, 50, 16 * 32 * 32)
    return {cost.stage: cost for cost in network_costs(planned_run(work, **changes))}


def test_operations_grow_with_steps_cases_and_masks(found: dict[str, Cost], more: dict[str, Cost]) -> None:
    assert more["train_tokenizer"].flops == 2 * found["train_tokenizer"].flops > 0
    assert more["train_dit"].flops == 2 * 3 * found["train_dit"].flops > 0
    assert more["encode_latents"].flops == 2 * found["encode_latents"].flops * 2 / 10


def test_the_store_is_as_large_as_its_numbers(found: dict[str, Cost], more: dict[str, Cost]) -> None:
    latent_bytes = 2 * 4 * (16 // 4) * (32 // 8) ** 2
    assert found["encode_latents"].disk_bytes == latent_bytes * 10 * 8
    assert more["encode_latents"].disk_bytes == latent_bytes * 2 * 16


def test_a_variant_costs_a_training_and_its_volumes_of_its_own_network(found: dict[str, Cost]) -> None:
    variants = {"twice": {"train_dit": {"num_steps": 20}}, "lean": {"dit": {"conv": False}}}
    costs = {cost.stage: cost for cost in network_costs(planned_run(variants=variants))}
    assert set(costs) - set(found) == {f"{stage}, {name}" for stage in ("train_dit", "sample") for name in variants}
    assert costs["train_dit, twice"].flops == 2 * found["train_dit"].flops
    assert costs["sample, twice"].flops == found["sample"].flops
    assert costs["train_dit, lean"].flops < found["train_dit"].flops
    assert {name: costs[name] for name in found} == found


def test_every_stage_that_runs_is_planned_once() -> None:
    stages = [cost.stage for cost in all_costs(config(), workload_of(config()))]
    assert sorted(stages) == sorted(set(STAGES) - {"evaluate_variants"})


def test_training_keeps_more_than_running_the_same_network(found: dict[str, Cost]) -> None:
    assert found["train_dit"].device_bytes > 16 * 1000
    assert found["train_tokenizer"].device_bytes > 0
