"""The workflow can be planned for every configuration, quickly, and is well formed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medsyn2.cohort.plan import plan_run
from medsyn2.config import load_config
from medsyn2.stages.plan import kept_jobs

from .conftest import ROOT, Workflow


def test_lint_and_format_are_clean() -> None:
    lint = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    snakefmt = Path(sys.executable).with_name("snakefmt")
    result = subprocess.run([snakefmt, "--check", "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_default_configuration_plans_every_stage(tmp_path: Path) -> None:
    planned = Workflow(tmp_path, (ROOT / "config.yaml",)).planned()
    assert planned["register"] == {"0000", "0001"}
    assert set(planned) >= {"phantoms", "train_tokenizer", "train_dit", "sample", "report"}


def test_jobs_ask_for_what_the_plan_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = Workflow(tmp_path, (ROOT / "config.yaml",)).run("-n", "--", "all")
    asked = dict(re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)", text, re.M))
    jobs = kept_jobs(plan_run(load_config(ROOT / "config.yaml")))
    assert set(asked) == {stage for (stage, _), job in jobs.items() if job.jobs}
    for stage, resources in asked.items():
        job, found = jobs[stage, ""], dict(part.split("=", 1) for part in resources.split(", "))
        assert (int(found["runtime"]), int(found["mem_mb"])) == (job.limit_of(1), job.memory_of(1)), stage
        assert int(found.get("gpu", 0)) == job.gpus, stage


def test_folder_of_files_plans_without_phantoms(tmp_path: Path) -> None:
    (tmp_path / "cts").mkdir()
    for name in ("a", "b", "c", "d; touch pwned", "../e".replace("/", "_"), "f", "g"):
        (tmp_path / "cts" / f"{name}.nii.gz").touch()
    override = tmp_path / "mine.yaml"
    override.write_text(f"cohort: {{data_dir: {tmp_path}/cts}}\n")
    planned = Workflow(tmp_path, (ROOT / "configs/real.yaml", override)).planned()
    assert "phantoms" not in planned
    assert planned["inventory"] == {"0000"}


def test_wrong_key_stops_before_anything_is_planned(tmp_path: Path) -> None:
    override = tmp_path / "mine.yaml"
    override.write_text("train_dit: {learnig_rate: 1}\n")
    workflow = Workflow(tmp_path, (override,))
    result = subprocess.run(workflow.command("-n", "all"), capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "train_dit.learnig_rate" in result.stdout + result.stderr


def test_ct_rate_is_planned_within_10_cpu_seconds_and_300_mb(tmp_path: Path) -> None:
    script = ROOT / "benchmarks/dry_run.py"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    seconds, megabytes = (float(part.split()[0]) for part in result.stdout.splitlines()[0].split(": ")[1].split(", "))
    assert seconds < 10
    assert megabytes < 300


@pytest.mark.parametrize("target", ["results/fid_lung.csv", "results/reconstruction.csv"])
def test_one_table_plans_only_what_it_needs(tmp_path: Path, target: str) -> None:
    planned = Workflow(tmp_path, (ROOT / "config.yaml",)).planned(target)
    assert "report" not in planned
    assert ("train_dit" in planned) == (target == "results/fid_lung.csv")
