"""Kills, full disks, limits of memory and two runs at once, in every stage.

After each of them the same command runs again, undisturbed, and must end with the bytes of a run that nothing
happened to.
"""

import os
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .run import Ended, Job, Outcome, Trials, kill, run, start, wait

TRAININGS = ("train_tokenizer", "train_text_encoder", "train_dit")
ROOM_MIB = (8, 24, 64, 128)


def kill_stages(trials: Trials) -> Outcome:
    """Kill a job of each stage at a random moment, then let it end."""
    return _kill(trials, trials.one_of_each, trials.number(30) // len(trials.one_of_each) or 1)


def kill_trainings(trials: Trials) -> Outcome:
    """Kill each training several times at random moments, then let it end."""
    jobs = [job for job in trials.one_of_each if job.stage in TRAININGS]
    return _kill(trials, jobs, trials.number(15) // len(jobs) or 1)


def _kill(trials: Trials, jobs: Sequence[Job], times: int) -> Outcome:
    tally = Counter[str]()
    for job in jobs:
        with trials.without_outputs(job) as folder:
            begin_s = time.monotonic()
            run(job, folder)
            took_s = time.monotonic() - begin_s
        with trials.without_outputs(job) as folder:
            for _ in range(times):
                process, log = start(job, folder)
                time.sleep(trials.draw.uniform(0, took_s))
                kill(process)
                tally["killed at work" if wait(process, log).status < 0 else "had ended"] += 1
            _end(trials, job, folder, tally)
    return _sum_up(tally, ("killed at work",), jobs)


def fill_disk(trials: Trials) -> Outcome:
    """Run a job of each stage on a disk that is too small for a random part of its files, then with room."""
    if os.geteuid():
        return Outcome(0, "not tried: a small disk is a tmpfs, which root alone can mount", kept=True)
    tally = Counter[str]()
    for job in trials.one_of_each:
        with trials.without_outputs(job) as folder, _disk(trials.work / "disk") as disk:
            needed = _size(trials.finished.original) - _size(folder)
            shutil.copytree(folder, disk / "run", symlinks=True)
            _set_room(disk, int(trials.draw.uniform(0.0, 0.9) * needed))
            ended = run(job, disk / "run")
            named = (ended.code == "environment-disk-full" and str(disk) in ended.text) or "results/" in ended.text
            _judge(trials, job, ended, tally, named=named and ended.is_named)
            _mount(disk, "remount,size=2g")
            _end(trials, job, disk / "run", tally)
    return _sum_up(tally, ("named", "had room", "raw"), trials.one_of_each)


def limit_memory(trials: Trials) -> Outcome:
    """Run a job of each stage with a limit of its address space, then without."""
    tally = Counter[str]()
    for job in trials.one_of_each:
        with trials.without_outputs(job) as folder:
            room_mib = trials.draw.choice(ROOM_MIB)
            ended = run(job, folder, lambda room_mib=room_mib: _limit_memory(room_mib))
            _judge(trials, job, ended, tally, named=ended.is_named and ended.status == 12)
            _end(trials, job, folder, tally)
    return _sum_up(tally, ("named", "had room", "raw"), trials.one_of_each)


def run_twice(trials: Trials) -> Outcome:
    """Start a job of each stage twice at once."""
    tally = Counter[str]()
    for job in trials.one_of_each:
        with trials.without_outputs(job) as folder:
            both = [wait(*one) for one in [start(job, folder), start(job, folder)]]
            failed = [one for one in both if one.status]
            tally["raw" if failed else "ended twice"] += 1
            if failed:
                trials.say(failed[0].text[-1500:])
            _end(trials, job, folder, tally)
    return _sum_up(tally, ("ended twice", "raw"), trials.one_of_each)


def _judge(trials: Trials, job: Job, ended: Ended, tally: Counter[str], *, named: bool) -> None:
    outcome = "named" if named else "had room" if ended.status == 0 else "raw"
    tally[outcome] += 1
    trials.say(f"{job.name}: {outcome} ({ended.status} {ended.code})")
    if outcome == "raw":
        trials.say(ended.text[-1500:])


def _end(trials: Trials, job: Job, folder: Path, tally: Counter[str]) -> None:
    """Let the job end, and compare its bytes."""
    ended = run(job, folder)
    differing = trials.finished.changes(folder)
    tally["other bytes" if ended.status or differing else "same bytes"] += 1
    if ended.status or differing:
        trials.say(f"{job.name}: status {ended.status}, other bytes in {differing[:5]}: {ended.text[-1500:]}")


def _sum_up(tally: Counter[str], shown: Sequence[str], jobs: Sequence[Job]) -> Outcome:
    counts = ", ".join(f"{tally[name]} {name}" for name in shown)
    kept = tally["same bytes"] == len(jobs) and not tally["raw"]
    return Outcome(
        sum(tally[name] for name in shown), f"{counts}; {tally['same bytes']} of {len(jobs)} same bytes", kept
    )


@contextmanager
def _disk(place: Path) -> Iterator[Path]:
    """Mount a disk in memory."""
    place.mkdir(parents=True, exist_ok=True)
    _mount(place, "size=2g")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)


def _set_room(disk: Path, room_bytes: int) -> None:
    status = os.statvfs(disk)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    _mount(disk, f"remount,size={used + room_bytes // 4096 * 4096 + 4096}")


def _limit_memory(room_mib: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room_mib * 2**20,) * 2)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
