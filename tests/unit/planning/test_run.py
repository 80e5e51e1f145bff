import pytest

from tests.unit.planned import WORK, planned_run


def test_each_shard_samples_at_most_so_many_cases() -> None:
    assert planned_run().num_sampled == WORK.test_cases == 2
    assert planned_run(sample={"max_cases": 1}).num_sampled == 1
    assert planned_run(sample={"max_cases": 9}).num_sampled == 2


def test_segmenting_again_costs_its_share_of_the_cohort_s() -> None:
    run = planned_run()
    whole, half = (run.segment_again(cases, ["lobes"]) for cases in (WORK.cases, WORK.cases / 2))
    assert whole.cpu_s == pytest.approx(2 * half.cpu_s)
    assert whole.memory_bytes == half.memory_bytes


def test_segmenting_again_takes_the_tools_of_its_structures() -> None:
    unmeasured = {"segment": {"tools": {"lobes": "lungmask", "ground_glass": "medpseg"}}}
    run = planned_run(**unmeasured)
    assert run.segment_again(1, ["lobes"]).cpu_s is not None
    assert run.segment_again(1, ["lobes", "ground_glass"]).cpu_s is None
    other = planned_run(**unmeasured, evaluate_masks={"tools": {"ground_glass": "classical"}})
    assert other.segment_again(1, ["lobes", "ground_glass"]).cpu_s is not None


def test_networks_are_built_once() -> None:
    run = planned_run()
    assert run.networks is run.networks
    assert run.sampling.volumes == 2 * 2
