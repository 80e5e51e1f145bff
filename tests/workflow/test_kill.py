"""Killed in every stage, a plain re-run ends with the bytes of an undisturbed run, and nothing finished is redone."""

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
DELAYS_S = cycle([0.2, 2.5, 4.0])


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


def run_until(workflow: Workflow, stage: str, delay_s: float) -> None:
    """Start a run and kill its process group a moment after the first job of `stage` started."""
    process = subprocess.Popen(
        workflow.command("all"),
        env=workflow.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    started = time.time()
    while process.poll() is None:
        logs = [*workflow.folder.glob(f"logs/{stage}.log"), *workflow.folder.glob(f"logs/{stage}/*.log")]
        if any(log.stat().st_mtime >= started for log in logs):
            time.sleep(delay_s)
            break
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_in_each_stage_then_run_again(finished: Workflow, tmp_path: Path) -> None:
    disturbed = Workflow(tmp_path)
    kept: dict[Path, int] = {}
    stages = [stage for stage in STAGES if stage != "evaluate_variants"]  # the configuration has no variant
    for stage, delay_s in zip(stages, DELAYS_S, strict=False):
        run_until(disturbed, stage, delay_s)
        kept |= records(disturbed.folder)
    assert kept
    disturbed.run("all")
    undisturbed, after = results(finished.folder), results(disturbed.folder)
    assert sorted(after) == sorted(undisturbed)
    assert [name for name in undisturbed if undisturbed[name] != after[name]] == []
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert disturbed.planned() == {}
