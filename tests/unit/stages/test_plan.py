"""The plan: every stage of every model once, kept as long as nothing that decides it changes."""

from pathlib import Path

import pytest

from medsyn2.cohort.plan import plan_run
from medsyn2.errors import EnvironmentFault
from medsyn2.planning.costs import Cost
from medsyn2.planning.jobs import Job
from medsyn2.stages import STAGES
from medsyn2.stages.plan import job_of, jobs_json, kept_jobs, plan_costs, plan_path
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
    run = planned_run(cohort={"data_dir": "."}, encode_text={"encoder_dir": "bert"})
    without = {cost.stage for cost in plan_costs(run.config, run.work) if not cost.jobs}
    assert without == {"phantoms", "train_text_encoder", "evaluate_variants"}


def test_a_job_asks_for_the_gpus_and_cores_of_the_table() -> None:
    cost = Cost("sample", 1, 1.0, memory_bytes=8e9, device_bytes=1e9)
    small, large = (job_of(cost, config(grid={"shape": shape})) for shape in ([16, 32, 32], [256, 256, 256]))
    assert (small.gpus, small.threads, small.memory_mb) == (0, 1, 12_000)
    assert (large.gpus, large.threads, large.memory_mb) == (1, 8, 13_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a run, the working directory, with a CT and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cts").mkdir()
    (tmp_path / "cts/a.nii.gz").write_bytes(b"1")
    return tmp_path


def test_jobs_are_planned_once_and_again_where_their_file_is_damaged(folder: Path) -> None:
    plan = plan_run(config())
    place = plan_path(plan)
    assert folder in place.parents
    place.write_text(jobs_json([JOB])[:-9], encoding="utf-8")
    assert set(kept_jobs(plan)) == {(name, "") for name in STAGES}
    place.write_text(jobs_json([JOB]), encoding="utf-8")
    assert kept_jobs(plan) == {("register", ""): JOB}


@pytest.mark.parametrize("caches", ["/proc/1/none", "/dev/null"])
def test_without_a_cache_to_write_to_the_plan_lies_in_the_run_s_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caches: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", caches)
    assert plan_path(plan_run(config())).parent == Path(".snakemake/medsyn2-plans")


def test_without_a_home_the_plan_lies_in_the_run_s_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**30)  # a user that the system has no entry of, as in a container
    assert plan_path(plan_run(config())).parent == Path(".snakemake/medsyn2-plans")


def test_settings_cohort_and_files_decide_the_place(folder: Path) -> None:
    given = {"data_dir": str(folder / "cts")}
    place = plan_path(plan_run(config(cohort=given)))
    assert plan_path(plan_run(config(cohort=given))) == place
    assert plan_path(plan_run(config(cohort=given, jobs={"longest_h": 12}))) != place
    (folder / "cts/a.nii.gz").write_bytes(b"another")
    changed = plan_path(plan_run(config(cohort=given)))
    (folder / "cts/b.nii.gz").write_bytes(b"1")
    assert len({place, changed, plan_path(plan_run(config(cohort=given)))}) == 3


def test_a_run_that_cannot_be_planned_says_why(folder: Path) -> None:
    plan = plan_run(config(cohort={"data_dir": str(folder / "cts")}))
    (folder / "cts/a.nii.gz").unlink()
    with pytest.raises(EnvironmentFault, match="data-dir-empty") as caught:
        kept_jobs(plan)
    assert caught.value.code == "plan-failed"
