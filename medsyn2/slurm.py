"""The SLURM job that a process belongs to, where it belongs to one.

A stage works on a cluster as it does on one machine. But a job that SLURM ends leaves no word of its own, and one that
outlives its Snakemake holds its artefacts. So a rule's command runs under this module there,

    python -m medsyn2.slurm -m medsyn2 train_dit ...

which says at the end of the stage's log why SLURM ended it, and keeps that log when Snakemake tries the stage again;
and the functions here name the job that is at work, tell how an earlier one ended, and list those that still work in a
folder. They ask ``squeue``, which remembers a finished job for some minutes (``MinJobAge``), and then ``sacct``, which
needs a database. This module uses only the standard library, because Snakemake's own process imports it.
"""

import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from medsyn2.errors import EnvironmentFault

_JOB = re.compile(r"SLURM job (\d+)")
_SLURMSTEPD = re.compile(r"slurmstepd\S*: error: ")
_LOGS = ".snakemake/slurm_logs"
"""Where the executor puts the log of each job, below the folder of the run."""
_AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT")
"""States of a job that may still write."""
_ANSWER_S = 20
_WORDS_S = 2


def job_id() -> str | None:
    """Return the number of the job that this process belongs to, or None."""
    return os.environ.get("SLURM_JOB_ID")


def num_nodes() -> int:
    """Return how many nodes the job of this process has; one without SLURM."""
    return int(_facts_of(job_id()).get("NumNodes", "1"))


def launch_on_each(nodes: int) -> list[str]:
    """Return the words that start torchrun once on each of this job's nodes; none outside of SLURM.

    SLURM sends SIGTERM to every process, several times. So torchrun, which would pass the first on and die of the
    second while its processes write a checkpoint, ignores it.
    """
    job = job_id()
    if job is None:
        return []
    start = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    start += [f"--cpus-per-task={_facts_of(job).get('CPUs/Task', '1')}", "--kill-on-bad-exit=1"]
    ignoring = "trap '' TERM; PET_SIGNALS_TO_HANDLE=SIGINT,SIGHUP,SIGQUIT exec \"$@\""
    return [*(start if nodes > 1 else []), "sh", "-c", ignoring, "sh"]


def _facts_of(job: str | None) -> dict[str, str]:
    """Return what SLURM knows of a job; the executor hides most of the variables that would say it."""
    return {} if job is None else dict(re.findall(r"(\S+?)=(\S+)", _ask("scontrol", "show", "job", job)))


def job_number(process: str) -> str | None:
    """Return the job of a process that `describe_process` named, or None."""
    job = _JOB.match(process)
    return job[1] if job else None


def job_works(job: str) -> bool:
    """Say whether SLURM knows a job as one that works or will go on."""
    return _state_of(job).partition(" ")[0] in _AT_WORK


def stop_command(process: str) -> str:
    """Return the command that ends a process that `describe_process` named."""
    job = job_number(process)
    return f"kill {process.removeprefix('process ')}" if job is None else f"scancel {job}"


def describe_process() -> str:
    """Name this process for a message: its job and node, or its number and machine."""
    job = job_id()
    if job is None:
        return f"process {os.getpid()} on {platform.node()}"
    return f"SLURM job {job} on {os.environ.get('SLURMD_NODENAME', platform.node())}"


def describe_end(process: str) -> str:
    """Say how a process that `describe_process` named ended, as far as SLURM tells."""
    match = _JOB.match(process)
    if match is None:
        return f"{process} was killed"
    if match[1] == job_id():
        return f"{process} was preempted or lost its node, and was started again"
    return f"{process} ended: {_words_of(match[1]) or _state_of(match[1]) or 'SLURM does not say why'}"


def _words_of(job: str) -> str:
    """Return the errors that SLURM itself wrote into a job's log, each once."""
    logs = list(Path(_LOGS).rglob(f"{job}.log"))
    if not logs:
        logs = [Path(_facts_of(job).get("StdOut", "/dev/null"))]
    lines = [
        line for log in logs if log.is_file() for line in log.read_text(errors="replace", encoding="utf-8").splitlines()
    ]
    found = dict.fromkeys(line.split("error: ", 1)[1].strip(" *") for line in lines if _SLURMSTEPD.match(line))
    return "; ".join(found)


def _words_in_time(job: str) -> str:
    """Return SLURM's errors in the log of a job that it is ending, which it may write after its signal."""
    for _ in range(10):
        if said := _words_of(job):
            return said
        time.sleep(_WORDS_S / 10)
    return ""


def _state_of(job: str) -> str:
    """Return the state of a job, from memory or from the database."""
    now = _ask("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")
    return now or _ask("sacct", "--allocations", "--noheader", "--parsable2", "--format=State", f"--jobs={job}")


def _ask(*command: str) -> str:
    """Return the output of a command of SLURM; nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=_ANSWER_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def require_no_jobs(folder: Path, rules: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Refuse to start rules of which an earlier run's jobs, submitted from `folder`, still wait or work.

    Args:
        rules: The name of each rule that is to start, with the values of its wildcards.

    Raises:
        EnvironmentFault: If there is such a job. A second one would hold another GPU and wait for the first.
    """
    names = {_comment_of(name, wildcards) for name, wildcards in rules}
    said = _ask("squeue", "--noheader", "--me", "--format=%i|%T|%Z|%k")
    rows = [line.split("|", 3) for line in said.splitlines()]
    here = str(folder.resolve())
    left = {row[0]: f"{row[0]} ({row[3]}, {row[1].lower()})" for row in rows if row[2:3] == [here] and row[3] in names}
    if left:
        raise EnvironmentFault(
            f"SLURM jobs of an earlier run are still at work here: {', '.join(left.values())}.",
            code="jobs-of-an-earlier-run",
            remedy=f"nothing was started. Wait until they end, or scancel {' '.join(left)}; then start again.",
        )


def _comment_of(rule: str, wildcards: Iterable[str]) -> str:
    """Return the comment that the executor gives to a rule's job."""
    values = "_".join(wildcards).replace("/", "_")
    return f"rule_{rule}_wildcards_{values}" if values else f"rule_{rule}"


def main(arguments: Sequence[str]) -> int:
    """Run Python with `arguments` in a job, and say in its log why SLURM ended it, if SLURM did."""
    received: list[int] = []
    # SLURM sends SIGTERM to every process of a job, so it is not passed on.
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    with _keep_log():
        status = subprocess.call([sys.executable, *arguments])
        if received or status < 0:
            sys.stderr.write(f"medsyn2: {explain(received[0] if received else -status)}\n")
        if status:
            raise SystemExit(status if status > 0 else 128 - status)
    return 0


def explain(number: int) -> str:
    """Say why a process of this job was ended by a signal."""
    job = job_id()
    assert job is not None
    if number == signal.SIGTERM:
        said = _words_in_time(job)
        because = f"SLURM ended job {job}: {said or 'its time is almost up, or it was told to'}"
        advice = "Finished cases and checkpoints are kept, and the next job goes on with them."
    else:
        memory = _facts_of(job).get("MinMemoryNode", "memory")
        because = f"signal {number} killed a process of job {job}, most often because it needed more than its {memory}"
        advice = "A retry asks for more; `set-resources` in the profile sets the first request."
    return f"[job-ended] {because}. {advice}"


@contextmanager
def _keep_log() -> Iterator[None]:
    """Give the log of this process a second name, that of its job, which stays if the work does not end well."""
    log = Path("/proc/self/fd/2").readlink()
    if not log.is_file():
        yield
        return
    name = f"{log.stem}.{job_id()}"
    again = len(list(log.parent.glob(f"{name}*{log.suffix}")))  # of a job that SLURM started again
    kept = log.with_name(f"{name}-{again}{log.suffix}" if again else f"{name}{log.suffix}")
    with suppress(OSError):  # a file system without such links
        kept.hardlink_to(log)
    yield
    kept.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
