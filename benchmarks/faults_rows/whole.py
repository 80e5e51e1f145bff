"""Whole runs: killed at random moments with all their jobs, and several of them in one folder."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from .row import Bench, Trial, Tried
from .run import start_snakemake
from .stops import OTHER, SAME

RUNS, KILLS = 3, 10
"""Runs, and kills of each, on average."""
LATER_S = 6.0
"""A kill comes up to so long after a job has ended: more than most jobs take."""
PART = ("--", "results/register/0000.json")
CHANGED = ("--config", "template={num_rounds: 1}")
"""Settings that decide what is made in that part."""

_Said = tuple[str, str]
"""The outcome, empty where the promise was not kept, and all that was printed."""
_Way = Callable[[Path], _Said]


def kill_runs(bench: Bench) -> list[Trial]:
    """Kill a whole run again and again, each time after a random number of its jobs, until it ends."""
    return [Trial("run", str(number), partial(_kill_run, bench)) for number in range(RUNS)]


def _kill_run(bench: Bench, draw: random.Random) -> Tried:
    folder, kills = _empty(bench, "killed"), 0
    while True:
        process = start_snakemake(folder, "--", "all")
        said = _wait_for_jobs(process, draw.randint(0, 2 * len(bench.finished_run.jobs) // KILLS))
        time.sleep(draw.uniform(0, LATER_S))
        if process.poll() is not None:
            break
        _kill_tree(process.pid)
        process.communicate()
        kills += 1
    said += process.communicate()[0]
    differing = bench.finished_run.changes(folder)
    if process.returncode or differing:
        bench.say(f"status {process.returncode}, other bytes in {differing[:5]}: {said[-3000:]}")
        return Tried(f"killed, {OTHER}", kept=False, count=kills)
    return Tried(f"killed, {SAME}", kept=True, note=f"{kills} kills", count=kills)


def _wait_for_jobs(process: subprocess.Popen[str], count: int) -> str:
    """Wait until so many jobs have ended, or the run has; return what was printed."""
    said = []
    for line in process.stdout if count and process.stdout else ():
        said.append(line)
        count -= bool(re.match(r"\d+ of \d+ steps", line))
        if count <= 0:
            break
    return "".join(said)


def _kill_tree(process: int) -> None:
    """Kill a process and all that it has started, as the machine's end would."""
    for one in [process, *_descendants(process)]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # one that has ended since
            for child in map(int, children.read_text("utf-8").split()):
                yield child
                yield from _descendants(child)


def share_folder(bench: Bench) -> list[Trial]:
    """Start a run in a folder that another one uses or has used."""
    ways = {
        "the same settings at once": _same_at_once,
        "other settings at once": _other_at_once,
        "other settings after a kill": _other_after_kill,
        "other settings after the end, and back": _other_after_end,
        "a record of another machine": _record_of_another_machine,
        "a record whose number another process has": _record_of_another_process,
    }
    return [Trial(name, "run", partial(_share, bench, way)) for name, way in ways.items()]


def _share(bench: Bench, way: _Way, draw: random.Random) -> Tried:
    folder = _empty(bench, "shared")
    outcome, said = way(folder)
    differing = [name for name in bench.finished_run.changes(folder) if (folder / name).exists()]
    kept = bool(outcome) and not differing and (folder / PART[1]).exists()
    if not kept:
        bench.say(f"other bytes in {differing[:5]}: {said[-3000:]}")
    return Tried(f"{outcome or 'FAILED'}, {OTHER if differing else SAME}", kept)


def _same_at_once(folder: Path) -> _Said:
    both = [start_snakemake(folder, *PART) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    return "" if any(process.returncode for process in both) else "both ended", "".join(said)


def _other_at_once(folder: Path) -> _Said:
    first = start_snakemake(folder, *PART)
    _wait_for_jobs(first, 1)
    status, said = _run(folder, *CHANGED)
    said += first.communicate()[0]
    named = status and "[folder-in-use]" in said and f"process {first.pid}" in said
    return "the second was refused and named the first" if named and not first.returncode else "", said


def _other_after_kill(folder: Path) -> _Said:
    first = start_snakemake(folder, *PART)
    _wait_for_jobs(first, 2)
    _kill_tree(first.pid)
    first.communicate()
    return _then(folder, "the second ran", CHANGED)


def _other_after_end(folder: Path) -> _Said:
    status, said = _run(folder)
    return _then(folder, "the second ran", CHANGED) if not status else ("", said)


def _record_of_another_machine(folder: Path) -> _Said:
    record = _leave_record(folder, host="elsewhere", boot="another", name="process 77 on elsewhere")
    status, said = _run(folder)
    named = status and "[used-elsewhere]" in said and str(record.relative_to(folder)) in said
    record.unlink()
    return _then(folder, "refused with the other machine's name, and healed by the remedy") if named else ("", said)


def _record_of_another_process(folder: Path) -> _Said:
    _leave_record(folder, pid=os.getpid())
    return _then(folder, "the second ran")


def _leave_record(folder: Path, **changes: object) -> Path:
    """Leave the record of a run with other settings, as a kill leaves it."""
    first = start_snakemake(folder, *CHANGED, *PART)
    _wait_for_jobs(first, 1)
    (record,) = (folder / "results/.runs").glob("*.json")
    _kill_tree(first.pid)
    first.communicate()
    head, _, rest = record.read_text("utf-8").partition("\n")
    record.write_text(f"{json.dumps({**json.loads(head), **changes})}\n{rest}", encoding="utf-8")
    return record


def _then(folder: Path, outcome: str, *before: tuple[str, ...]) -> _Said:
    """Run with changed settings where any are given, then as at first."""
    for arguments in (*before, ()):
        status, said = _run(folder, *arguments)
        if status:
            return "", said
    return outcome, said


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start_snakemake(folder, *arguments, *PART)
    said = process.communicate()[0]
    return process.returncode, said


def _empty(bench: Bench, name: str) -> Path:
    shutil.rmtree(bench.work / name, ignore_errors=True)
    return bench.folder(name)
