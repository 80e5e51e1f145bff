"""Killed in every stage, a plain re-run ends with the bytes of an undisturbed run, and nothing finished is redone."""

import csv
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import psutil
import pytest

from medsyn2.stages import STAGES
from tests.workflow.conftest import Workflow

# The page shows how long the stages took, so it alone may differ from run to run, and its checksum with it.
TIMED = {"results/report.html", "results/.report.html.sha256"}
# When a stage is killed: after this share of the CPU time that it takes undisturbed.
SHARES = (0.3, 0.5, 0.7)
# Stages of each kind in which Snakemake is killed with its jobs: by case, a training, a table.
WITH_SNAKEMAKE = ("register", "train_dit", "evaluate_fid")
# A stage of each kind, by what is asked for: in rounds and by case; with networks and a training.
KINDS = {
    ("results/register/0000.json", "results/register/0001.json"): ("template", "register"),
    ("results/train_dit/model/model.json",): ("encode_latents", "train_dit"),
}
# The configuration has no variant.
EVERY = tuple(stage for stage in STAGES if stage != "evaluate_variants")


def results(folder: Path) -> dict[str, bytes]:
    """Every file of the results but locks, notes of who runs, checkpoints, and the page that tells the time."""
    return {
        name: path.read_bytes()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file()
        and not path.name.endswith(".lock")
        and not {"checkpoints", ".runs"} & set(path.parts)
        and (name := path.relative_to(folder).as_posix()) not in TIMED
    }


def records(folder: Path) -> dict[Path, int]:
    """When the record of each case that a sharded stage finished was written."""
    paths = (folder / "results").glob("*/[0-9][0-9][0-9][0-9]/[!.]*.json")
    return {path: path.stat().st_mtime_ns for path in paths}


def cpu_seconds_of(workflow: Workflow, stage: str) -> float:
    """CPU seconds of a job of the stage; other work on the machine makes a job late, not its CPU time longer."""
    place = workflow.folder / "logs/benchmarks"
    path = [*place.glob(f"{stage}.tsv"), *place.glob(f"{stage}/*.tsv")][0]
    with path.open(encoding="utf-8") as file:
        return float(next(csv.DictReader(file, delimiter="\t"))["cpu_time"])


def jobs_of(snakemake: psutil.Process) -> dict[str, psutil.Process]:
    """A running job of each stage that has one."""
    jobs: dict[str, psutil.Process] = {}
    for child in snakemake.children(recursive=True):
        with suppress(psutil.Error):
            match child.cmdline()[1:4]:
                case ["-m", "medsyn2", stage]:
                    jobs.setdefault(stage, child)
    return jobs


def cpu_seconds_so_far(job: psutil.Process) -> float:
    """CPU seconds that a job and its processes have used."""
    times = [each.cpu_times() for each in (job, *job.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def disturb(
    workflow: Workflow, targets: tuple[str, ...], due_s: dict[str, float], kept: dict[Path, int], *arguments: str
) -> bool:
    """Run, and kill the first job of each stage when it has used its CPU seconds; Snakemake tries it again.

    In some stages Snakemake is killed with all its jobs. Takes the stages that were killed at work from `due_s`,
    adds to `kept` the records that were there, and returns whether the run ended by itself.
    """
    run = subprocess.Popen(
        workflow.command("--retries", "1", *arguments, "--", *targets),
        env=workflow.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    snakemake = psutil.Process(run.pid)
    while run.poll() is None:
        time.sleep(0.1)
        with suppress(psutil.NoSuchProcess):
            for stage, job in jobs_of(snakemake).items():
                if stage not in due_s or cpu_seconds_so_far(job) < due_s[stage]:
                    continue
                job.suspend()
                kept |= records(workflow.folder)
                del due_s[stage]
                if stage in WITH_SNAKEMAKE:
                    os.killpg(run.pid, signal.SIGKILL)
                    run.wait()
                    return False
                job.kill()
    assert run.returncode == 0
    return True


def run_killed(disturbed: Workflow, finished: Workflow, targets: tuple[str, ...], stages: tuple[str, ...]) -> None:
    """Run until each of the stages was killed at work, then to the end, and compare with the undisturbed run."""
    due_s = {
        stage: share * cpu_seconds_of(finished, stage) for stage, share in zip(stages, cycle(SHARES), strict=False)
    }
    kept: dict[Path, int] = {}
    while not disturb(disturbed, targets, due_s, kept):
        pass
    while due_s:
        # These took less time than in the undisturbed run.
        due_s = {stage: due / 2 for stage, due in due_s.items()}
        assert min(due_s.values()) > 0.05, f"{sorted(due_s)} were never caught at work"
        disturb(disturbed, targets, due_s, kept, "--forcerun", *due_s)
    assert kept
    disturbed.run(*targets)
    undisturbed, after = results(finished.folder), results(disturbed.folder)
    assert set(after) <= set(undisturbed)
    assert [name for name in after if undisturbed[name] != after[name]] == []
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert disturbed.planned(*targets) == {}


def test_killed_in_a_stage_of_each_kind_then_run_again(finished: Workflow, tmp_path: Path) -> None:
    disturbed = Workflow(tmp_path / "run")
    shutil.copytree(finished.folder, disturbed.folder)
    for targets, stages in KINDS.items():
        for stage in stages:
            shutil.rmtree(disturbed.folder / "results" / stage)
        run_killed(disturbed, finished, targets, stages)
    assert set(results(disturbed.folder)) == set(results(finished.folder))


@pytest.mark.slow
def test_killed_in_each_stage_then_run_again(finished: Workflow, tmp_path: Path) -> None:
    disturbed = Workflow(tmp_path)
    run_killed(disturbed, finished, ("all",), EVERY)
    assert set(results(disturbed.folder)) == set(results(finished.folder))
