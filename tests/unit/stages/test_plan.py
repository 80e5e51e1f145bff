"""The plan: every stage of every model once, kept as long as nothing that decides it changes."""

import json
from pathlib import Path

import pytest

from medsyn2.cohort.plan import plan_run
from medsyn2.planning.costs import Cost
from medsyn2.planning.jobs import Job
from medsyn2.stages import STAGES
from medsyn2.stages.plan import job_of, jobs_json, kept_jobs, plan_costs, plan_folder
from tests.unit.planned import config, planned_run

VARIANTS = {"twice": {"train_dit": {"num_steps": 20}}, "lean": {"dit": {"conv": False}}}
JOB = Job("register", "", 1, 1.0, 30, 60, 4000, 0, 1)


@pytest.fixture(scope="module")
def costs() -> dict[tuple[str, str], Cost]:
    """Those of a run with two variants."""
    run = planned_run(variants=VARIANTS)
    return {(cost.stage, cost.variant): cost for cost in plan_costs(run.config, run.work)}


def test_every_stage_is_planned_and_those_of_each_model_for_the_variants_too(costs) -> None:
    of_models = {stage.name for stage in STAGES.values() if stage.each_model}
    assert set(costs) == {(name, "") for name in STAGES} | {(name, one) for name in of_models for one in VARIANTS}
    assert costs["train_dit", "twice"].flops == 2 * costs["train_dit", ""].flops
    assert costs["sample", "twice"].flops == costs["sample", ""].flops
    assert costs["train_dit", "lean"].flops < costs["train_dit", ""].flops


def test_what_a_run_does_not_ask_for_has_no_job(costs) -> None:
    assert costs["evaluate_variants", ""].jobs == 1
    run = planned_run()
    without = {cost.stage: cost.jobs for cost in plan_costs(run.config, run.work)}
    assert without["evaluate_variants"] == 0
    given = planned_run(cohort={"data_dir": "."}, encode_text={"encoder_dir": "bert"})
    without = {cost.stage: cost.jobs for cost in plan_costs(given.config, given.work)}
    assert (without["phantoms"], without["train_text_encoder"]) == (0, 0)


def test_a_job_asks_for_the_gpus_and_cores_of_the_table() -> None:
    cost = Cost("sample", 1, 1.0, memory_bytes=8e9, device_bytes=1e9)
    small, large = (job_of(cost, config(grid={"shape": shape})) for shape in ([16, 32, 32], [256, 256, 256]))
    assert (small.gpus, small.threads, small.memory_mb) == (0, 1, 12_000)
    assert (large.gpus, large.threads, large.memory_mb) == (1, 8, 13_000)


def test_a_kept_plan_is_read_until_the_cohort_or_the_settings_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = plan_run(config())
    found = kept_jobs(plan)
    assert set(found) == {(name, "") for name in STAGES}
    (kept,) = plan_folder().iterdir()
    kept.write_text(jobs_json([JOB]))
    assert kept_jobs(plan) == {("register", ""): JOB}
    assert kept_jobs(plan_run(config(cohort={"num_phantoms": 8}))) != {("register", ""): JOB}
    assert len(list(plan_folder().iterdir())) == 2
    assert json.loads(kept.read_text())[0]["stage"] == "register"
