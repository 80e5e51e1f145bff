"""A stage's log says why SLURM ended it, and outlives the next attempt. `tests/cluster` has a cluster for the rest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medsyn2.slurm import describe_end, describe_process, launch_on_each, num_nodes, require_no_jobs, stop_command

OF_A_JOB = """\
srun: Job step aborted: Waiting up to 12 seconds for job step to finish.
slurmstepd-gpu1: error: StepId=11.0 exceeded memory limit (543055872 > 314572800), being killed
slurmstepd-gpu1: error: Exceeded job memory limit
slurmstepd-gpu1: error: Exceeded job memory limit
srun: error: gpu1: task 0: Killed
"""


@pytest.fixture
def in_job_12(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The variables of SLURM's job 12, in a folder that has its log and that of another."""
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "gpu1")
    logs = tmp_path / ".snakemake/slurm_logs/rule_train_dit"
    logs.mkdir(parents=True)
    for job in (11, 12):
        (logs / f"{job}.log").write_text(OF_A_JOB, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_in_job(folder: Path, code: str) -> tuple[int, str]:
    """Run a program as a rule does, with its log, and return its exit status and the log."""
    log = folder / "logs/masks/0000.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # as Snakemake does before each attempt
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "medsyn2.slurm", "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, stdout=file, stderr=file, cwd=folder, env=environment, check=False)
    return done.returncode, log.read_text("utf-8")


def test_a_process_is_named_by_its_job_and_ended_through_slurm(in_job_12: Path) -> None:
    assert describe_process() == "SLURM job 12 on gpu1"
    assert stop_command(describe_process()) == "scancel 12"
    assert describe_end(describe_process()).endswith("was started again")
    ended = describe_end("SLURM job 11 on gpu1")
    assert ended.count("Exceeded job memory limit") == 1
    assert "exceeded memory limit (543055872 > 314572800)" in ended


def test_without_slurm_a_process_is_named_by_its_number() -> None:
    assert describe_process().startswith(f"process {os.getpid()} on ")
    assert stop_command("process 7 on host") == "kill 7 on host"
    assert describe_end("process 7 on host") == "process 7 on host was killed"
    assert num_nodes() == 1
    assert launch_on_each(1) == []
    require_no_jobs(Path(), [("train_dit", [])])


def test_torchrun_is_started_once_on_each_node(in_job_12: Path) -> None:
    assert launch_on_each(1)[0] == "sh"
    command = launch_on_each(2)
    assert command[0] == "srun"
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} <= set(command)
    ignores = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)"
    assert subprocess.check_output([*launch_on_each(1), sys.executable, "-c", ignores]) == b"True\n"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "signal 9 killed a process of job 12"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGTERM); raise SystemExit(75)", 75, "SLURM ended job 12"),
        ("raise SystemExit(10)", 10, ""),
    ],
)
def test_the_log_of_a_killed_stage_says_why_and_outlives_the_next_attempt(
    in_job_12: Path, code: str, status: int, said: str
) -> None:
    ended, log = run_in_job(in_job_12, code)
    assert ended == status
    assert ("[job-ended]" in log) == bool(said)
    assert said in log
    again, text = run_in_job(in_job_12, "print('done')")
    assert (again, text) == (0, "done\n")
    assert (in_job_12 / "logs/masks/0000.12.log").read_text("utf-8") == log
    assert run_in_job(in_job_12, code)[0] == status
    assert (in_job_12 / "logs/masks/0000.12-1.log").read_text("utf-8") == log


def test_the_log_of_a_stage_that_ended_well_has_one_name(in_job_12: Path) -> None:
    assert run_in_job(in_job_12, "print('done')") == (0, "done\n")
    assert [path.name for path in (in_job_12 / "logs/masks").iterdir()] == ["0000.log"]
