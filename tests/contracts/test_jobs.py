"""Each job of the paper's run asks for what it is planned to take, and a partition of the SLURM profile has it.

The cohort is CT-RATE's in numbers: 24,128 training and 1,564 held-out volumes in shards of 64, the training ones first.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from medsyn2.config import Config, load_config
from medsyn2.planning.costs import Cost
from medsyn2.planning.jobs import Job
from medsyn2.planning.workload import Shards, Workload
from medsyn2.stages import STAGES
from medsyn2.stages.plan import job_of, plan_costs

ROOT = Path(__file__).parents[2]
CT_RATE = Workload(
    train=Shards((64,) * 377 + (0,) * 25),
    test=Shards((0,) * 377 + (64,) * 24 + (28,)),
    native_voxels=512 * 512 * 300,
    native_slices=300,
    grid_voxels=448**3,
)
KEEP_PARTS = {"evaluate_augmentation"}
"""Stages of one job that go on where it ended: they keep each synthetic slice and each trained network."""

UNMEASURED = "medpseg"
"""Of the paper's tools the one whose time nobody has published."""


@pytest.fixture(
    scope="module",
    params=["paper", *(pytest.param(name, marks=pytest.mark.slow) for name in ("recommended", "official"))],
)
def config(request: pytest.FixtureRequest) -> Config:
    """The paper's configuration, alone or under another."""
    return load_config(*(ROOT / f"configs/{name}.yaml" for name in dict.fromkeys(("paper", request.param))))


@pytest.fixture(scope="module")
def planned(config: Config) -> list[tuple[Cost, Job]]:
    """The stages that run, with their largest jobs."""
    return [(cost, job_of(cost, config)) for cost in plan_costs(config, CT_RATE) if cost.jobs]


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    """The profile of SLURM, with its partitions."""
    folder = ROOT / "profiles/slurm"
    partitions = yaml.safe_load((folder / "partitions.yaml").read_text("utf-8"))
    return yaml.safe_load((folder / "profile.yaml").read_text("utf-8")) | partitions


def test_every_job_has_the_time_that_it_is_planned_to_take(planned, profile) -> None:
    for cost, job in planned:
        stage = STAGES[job.stage]
        if job.seconds is None:
            assert UNMEASURED in cost.basis.lower(), job.name
            assert job.limit_min == job.longest_min
        elif stage.sharded or stage.shared or stage.name in KEEP_PARTS:  # these go on where an attempt ended
            assert job.attempts <= 1 + profile["retries"], job.name
        else:
            assert job.seconds <= 60 * job.limit_min, job.name


def test_every_job_has_the_memory_that_it_is_planned_to_take(planned) -> None:
    for cost, job in planned:
        needed = cost.memory_bytes + (0 if job.gpus else cost.device_bytes)
        assert needed <= 1e6 * job.memory_mb, job.name


def test_a_gpu_is_asked_for_exactly_where_networks_have_tensors_on_a_device(planned) -> None:
    assert {job.stage for _, job in planned if job.gpus} == {cost.stage for cost, _ in planned if cost.device_bytes}


def test_a_partition_has_every_attempt(planned, profile) -> None:
    for _, job in planned:
        for attempt in range(1, 2 + profile["retries"]):
            fitting = [
                name
                for name, limits in profile["partitions"].items()
                if job.limit_of(attempt) <= limits["max_runtime"]
                and job.memory_of(attempt) <= limits["max_mem_mb"]
                and job.threads <= limits["max_threads"]
                and job.gpus <= limits.get("max_gpu", 0)
            ]
            assert fitting, (job, attempt)


def test_processes_share_the_micro_batches_evenly(planned, config: Config) -> None:
    for stage in ("train_tokenizer", "train_dit"):
        (job,) = (job for _, job in planned if job.stage == stage)
        assert config.section(stage).accumulate % job.gpus == 0
