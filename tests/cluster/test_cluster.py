"""Whatever a cluster does to jobs, a run ends with the bytes of an undisturbed local one, and says what happened."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Run
from .slurm import LIMIT_S, Slurm, wait_until

pytestmark = pytest.mark.cluster

ON_CLUSTER = (
    *("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"),
    # Two processes on a node, and one on each of two nodes.
    *("--set-resources", "train_tokenizer:gpu=2", "train_dit:gpu=2", "train_dit:nodes=2"),
    *("train_dit:mpi=srun", "train_dit:tasks=2", "train_dit:tasks_per_gpu=0"),
    # The first attempt has too little memory.
    "register:mem_mb=400*attempt",
)


class Disturbed:
    """A run that SLURM and its user disturb, and the jobs that they met."""

    def __init__(self, slurm: Slurm, run: Run) -> None:
        self.slurm, self.run = slurm, run
        self.started: list[subprocess.Popen[bytes]] = []
        self.canceled = self.timed_out = self.preempted = self.resumed = ""

    def to_the_end(self) -> None:
        """Cancel a job, let one run out of time and preempt one, kill Snakemake, and run again twice."""
        first = self._start("first.txt")
        self.canceled = self._at_work("train_text_encoder")
        self.slurm.ask("scancel", self.canceled)
        self.timed_out = self._pause_at_work("train_tokenizer")
        self.slurm.ask("scontrol", "update", f"jobid={self.timed_out}", "EndTime=now+1")
        self.slurm.wait_for("train_tokenizer", after=self.timed_out)
        self.preempted = self._pause_at_work("train_dit")
        self.slurm.ask(
            "sbatch", "--partition=urgent", "--nodelist=gpu1", "--exclusive", "--output=/dev/null", "--wrap=true"
        )
        wait_until(lambda: (self.run.folder / f"logs/train_dit.{self.preempted}-1.log").exists())
        self._pause_at_work("train_dit")
        os.killpg(first.pid, signal.SIGKILL)
        assert self._start("second.txt").wait(LIMIT_S) != 0
        send(signal.SIGCONT, self.preempted)
        wait_until(lambda: not self.slurm.is_active(self.preempted))
        self.resumed = self.run.read("logs/train_dit.log")
        assert self._start("third.txt").wait(LIMIT_S) == 0, self.run.read("third.txt")[-6000:]

    def _start(self, said: str) -> subprocess.Popen[bytes]:
        self.started.append(self.run.start(self.run.folder / said))
        return self.started[-1]

    def _at_work(self, rule: str) -> str:
        """Wait until a job of a rule has begun with its stage, and return its number."""
        job = self.slurm.wait_for(rule)
        wait_until(lambda: list((self.run.folder / "logs").glob(f"{rule}.{job}*.log")))
        return job

    def _pause_at_work(self, rule: str) -> str:
        """Wait for a checkpoint of a rule's training, and stop its processes, so that it is at work for long."""
        job = self._at_work(rule)
        checkpoints = self.run.folder / f"results/{rule}/checkpoints"
        wait_until(lambda: any(checkpoints.glob("*/step_*.json")) and list(processes(job)))
        send(signal.SIGSTOP, job)
        return job


def processes(job: str) -> Iterator[int]:
    """Yield the processes that torchrun started in a job."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLURM_JOB_ID={job}".encode() in variables and any(v.startswith(b"LOCAL_RANK=") for v in variables):
            yield int(place.name)


def send(number: signal.Signals, job: str) -> None:
    """Send a signal to the processes of a job's training."""
    for process in processes(job):
        os.kill(process, number)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a Snakemake, with its children, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def local(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, subprocess.Popen[bytes]]]:
    """An undisturbed run on this machine, which goes on beside the other."""
    run = Run(tmp_path_factory.mktemp("local"), "default", ("--cores", "2"))
    process = run.start(run.folder / "said.txt")
    yield run, process
    kill(process)


@pytest.fixture(scope="module")
def disturbed(local: object, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    """A run on the cluster that ended, after all that happened to it."""
    found = Disturbed(slurm, Run(tmp_path_factory.mktemp("cluster"), "slurm", ON_CLUSTER))
    try:
        found.to_the_end()
        yield found
    finally:
        for process in found.started:
            kill(process)


def results(run: Run) -> dict[str, bytes]:
    """The results of a run, but locks and checkpoints to resume from."""
    files = (path for path in (run.folder / "results").rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in files if "checkpoints" not in path.parts}


def test_every_file_is_that_of_a_local_run(disturbed: Disturbed, local: tuple[Run, subprocess.Popen[bytes]]) -> None:
    run, process = local
    assert process.wait(LIMIT_S) == 0, run.read("said.txt")[-6000:]
    expected, found = results(run), results(disturbed.run)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if expected[name] != found[name]] == []
    assert len(expected) > 50


def test_the_log_of_each_attempt_says_why_it_ended(disturbed: Disturbed) -> None:
    read = disturbed.run.read
    assert "CANCELLED" in read(f"logs/train_text_encoder.{disturbed.canceled}.log")
    assert "DUE TO TIME LIMIT" in read(f"logs/train_tokenizer.{disturbed.timed_out}.log")
    assert "DUE TO PREEMPTION" in read(f"logs/train_dit.{disturbed.preempted}.log")
    assert "exceeded memory limit" in read("logs/register/0000.log")


def test_trainings_go_on_from_their_checkpoints(disturbed: Disturbed) -> None:
    assert re.search(r"goes on after step \d+ of 12", disturbed.run.read("logs/train_tokenizer.log"))
    assert re.search(r"goes on after step \d+ of 12", disturbed.resumed)


def test_a_training_runs_on_two_nodes(disturbed: Disturbed) -> None:
    assert {f"SLURM job {disturbed.preempted} on gpu{node}" for node in (1, 2)} <= set(
        re.findall(r"SLURM job \d+ on gpu\d", disturbed.resumed)
    )


def test_a_second_snakemake_names_the_job_that_is_left_and_submits_none(disturbed: Disturbed) -> None:
    said = disturbed.run.read("second.txt")
    assert "[jobs-of-an-earlier-run]" in said
    assert f"scancel {disturbed.preempted}" in said
    assert "has been submitted" not in said
