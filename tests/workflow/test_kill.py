"""Killed in every stage, a plain re-run ends with the bytes of an undisturbed run, and nothing finished is redone."""

import csv
import os
import signal
import subprocess
import time
from itertools import cycle
from pathlib import Path

from medsyn2.stages import STAGES

from .conftest import Workflow

# The page shows how long the stages took, so it alone may differ from run to run.
TIMED = {"results/report.html"}
# When a stage is killed: after this share of the time that it takes undisturbed.
SHARES = cycle([0.3, 0.6, 0.9])


def results(folder: Path) -> dict[str, bytes]:
    """Every file of the results but locks, checkpoints to resume from, and the page that tells the time."""
    return {
        name: path.read_bytes()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file()
        and not path.name.endswith(".lock")
        and "checkpoints" not in path.parts
        and (name := path.relative_to(folder).as_posix()) not in TIMED
    }


def records(folder: Path) -> dict[Path, int]:
    """When the record of each case that a sharded stage finished was written."""
    paths = (folder / "results").glob("*/[0-9][0-9][0-9][0-9]/[!.]*.json")
    return {path: path.stat().st_mtime_ns for path in paths}


def files_of(workflow: Workflow, folder: str, stage: str) -> list[Path]:
    """What the jobs of a stage left below a folder of logs."""
    place = workflow.folder / folder
    return [*place.glob(f"{stage}.*"), *place.glob(f"{stage}/*")]


def seconds_of(workflow: Workflow, stage: str) -> float:
    """How long a job of the stage took."""
    path = files_of(workflow, "logs/benchmarks", stage)[0]
    with path.open(encoding="utf-8") as file:
        return float(next(csv.DictReader(file, delimiter="\t"))["s"])


def killed_in(workflow: Workflow, stage: str, delay_s: float, *arguments: str) -> bool:
    """Run as far as `stage` and kill the process group a moment after its first job started, if it still runs."""
    started = time.time()
    process = subprocess.Popen(
        workflow.command("--until", stage, *arguments, "--", "all"),
        env=workflow.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None:
        if any(log.stat().st_mtime >= started for log in files_of(workflow, "logs", stage)):
            time.sleep(delay_s)
            break
        time.sleep(0.05)
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return killed


def test_killed_in_each_stage_then_run_again(finished: Workflow, tmp_path: Path) -> None:
    disturbed = Workflow(tmp_path)
    kept: dict[Path, int] = {}
    # The configuration has no variant.
    for stage, share in zip([stage for stage in STAGES if stage != "evaluate_variants"], SHARES, strict=False):
        delay_s = share * seconds_of(finished, stage)
        forced: tuple[str, ...] = ()
        while not killed_in(disturbed, stage, delay_s, *forced):
            delay_s, forced = delay_s / 2, ("--forcerun", stage)
            assert delay_s > 0.05, f"{stage} was never caught at work"
        kept |= records(disturbed.folder)
    assert kept
    disturbed.run("all")
    undisturbed, after = results(finished.folder), results(disturbed.folder)
    assert sorted(after) == sorted(undisturbed)
    assert [name for name in undisturbed if undisturbed[name] != after[name]] == []
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert disturbed.planned() == {}
