"""Kills, full disks, limits of memory and jobs that run twice at once, in every stage.

After each of them the same command runs again, undisturbed, and must end with the bytes of a run that nothing
happened to.
"""

import os
import random
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .row import Bench, Trial, Tried
from .run import Ended, Job, kill, run, start, wait

TRAININGS = ("train_tokenizer", "train_text_encoder", "train_dit")
KILLS = 5
"""Of a training."""
ROOM_MIB = (8, 24, 64, 128)

SAME, OTHER = "then the same bytes", "then OTHER BYTES"


def kill_stages(bench: Bench) -> list[Trial]:
    """Kill a job of each stage at a random moment, then let it end."""
    return [Trial(job.stage, job.name, partial(_kill, bench, job, 1)) for job in bench.one_of_each]


def kill_trainings(bench: Bench) -> list[Trial]:
    """Kill each training several times at random moments, then let it end."""
    jobs = [job for job in bench.one_of_each if job.stage in TRAININGS]
    return [Trial(job.stage, f"run {n}", partial(_kill, bench, job, KILLS)) for job in jobs for n in range(2)]


def fill_disk(bench: Bench) -> list[Trial]:
    """Run a job of each stage on a disk that is too small for a random part of its files, then with room."""
    return _one_of_each(bench, _fill_disk)


def limit_memory(bench: Bench) -> list[Trial]:
    """Run a job of each stage with a limit of its address space, then without."""
    return _one_of_each(bench, _limit_memory)


def run_twice(bench: Bench) -> list[Trial]:
    """Start a job of each stage twice at once."""
    return _one_of_each(bench, _run_twice)


def _one_of_each(bench: Bench, try_out: Callable[[Bench, Job, random.Random], Tried]) -> list[Trial]:
    return [Trial(job.stage, job.name, partial(try_out, bench, job)) for job in bench.one_of_each]


def _kill(bench: Bench, job: Job, times: int, draw: random.Random) -> Tried:
    with bench.finished_run.without_outputs(job) as folder:
        begin_s = time.monotonic()
        run(job, folder)
        took_s = time.monotonic() - begin_s
    ended = Counter[str]()
    with bench.finished_run.without_outputs(job) as folder:
        for _ in range(times):
            process, log = start(job, folder)
            time.sleep(draw.uniform(0, took_s))
            kill(process)
            ended["killed at work" if wait(process, log).status < 0 else "ended before the kill"] += 1
        kills = ended["killed at work"]
        what = "killed at work" if kills else "ended before the kill"
        return _end(bench, job, folder, what, note=str(dict(ended)), count=max(kills, 1))


def _fill_disk(bench: Bench, job: Job, draw: random.Random) -> Tried:
    if os.geteuid():
        return Tried("not tried: a small disk is a tmpfs, which root alone can mount", kept=True, count=0)
    with bench.finished_run.without_outputs(job) as folder, _disk(bench.work / "disk") as disk:
        needed = _size(bench.finished_run.original) - _size(folder)
        shutil.copytree(folder, disk / "run", symlinks=True)
        _set_room(disk, int(draw.uniform(0.0, 0.9) * needed))
        ended = run(job, disk / "run")
        named = (ended.code == "environment-disk-full" and str(disk) in ended.text) or "results/" in ended.text
        found = _judge(bench, ended, named=named and ended.is_named)
        _mount(disk, "remount,size=2g")
        return _end(bench, job, disk / "run", found, note=ended.code)


def _limit_memory(bench: Bench, job: Job, draw: random.Random) -> Tried:
    with bench.finished_run.without_outputs(job) as folder:
        room_mib = draw.choice(ROOM_MIB)
        ended = run(job, folder, lambda: _set_limit(room_mib))
        found = _judge(bench, ended, named=ended.is_named and ended.status == 12)
        return _end(bench, job, folder, found, note=f"{room_mib} MiB {ended.code}")


def _run_twice(bench: Bench, job: Job, draw: random.Random) -> Tried:
    with bench.finished_run.without_outputs(job) as folder:
        both = [wait(*one) for one in [start(job, folder), start(job, folder)]]
        failed = [one for one in both if one.status]
        for one in failed:
            bench.say(one.text[-1500:])
        return _end(bench, job, folder, "FAILED" if failed else "ended twice")


def _judge(bench: Bench, ended: Ended, *, named: bool) -> str:
    if named or ended.status == 0:
        return "named" if named else "had room"
    bench.say(f"status {ended.status}: {ended.text[-1500:]}")
    return "RAW"


def _end(bench: Bench, job: Job, folder: Path, found: str, note: str = "", count: int = 1) -> Tried:
    """Let the job end, and compare its bytes."""
    ended = run(job, folder)
    differing = bench.finished_run.changes(folder)
    if failed := bool(ended.status or differing):
        bench.say(f"status {ended.status}, other bytes in {differing[:5]}: {ended.text[-1500:]}")
    kept = not failed and found not in ("RAW", "FAILED")
    return Tried(f"{found}, {OTHER if failed else SAME}", kept, note, count)


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


def _set_limit(room_mib: int) -> None:
    used = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room_mib * 2**20,) * 2)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
