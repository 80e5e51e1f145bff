"""R1, R2, R5, R6, R7: kills, full disks, limits of memory and two runs at once, in every stage.

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
from collections.abc import Callable, Sequence
from pathlib import Path

from .run import Finished, Job, Row, changes, kill, run, start, tree_of, wait

Say = Callable[[str], object]

_SHARED = ("train_tokenizer", "train_dit")
"""Trainings that write checkpoints."""


def one_of_each(jobs: Sequence[Job]) -> list[Job]:
    """Return one job of each stage."""
    return list({job.stage: job for job in reversed(jobs)}.values())[::-1]


def kill_row(name: str, promise: str, finished: Finished, jobs: Sequence[Job], kills: int, seed: int, say: Say) -> Row:
    """Kill each job at random moments, `kills` times, then let it end."""
    draw, tally = random.Random(f"{name} {seed}"), Counter[str]()
    for job in jobs:
        finished.remove_outputs(job)
        begin_s = time.monotonic()
        ended = run(job, finished.copy)
        took_s = time.monotonic() - begin_s
        assert ended.status == 0, ended.text
        finished.remove_outputs(job)
        for _ in range(kills):
            process, log = start(job, finished.copy)
            time.sleep(draw.uniform(0, took_s))
            kill(process)
            killed = wait(process, log)
            tally["killed at work" if killed.status < 0 else "had ended"] += 1
        ended = run(job, finished.copy)
        differing = changes(finished.tree, tree_of(finished.copy))
        tally["raw" if ended.status else "other bytes" if differing else "same bytes"] += 1
        say(f"{name} {job.name}: status {ended.status}, differing {differing[:5]}")
        finished.restore()
    broken = tally["raw"] + tally["other bytes"]
    result = f"{tally['killed at work']} kills at work, {tally['same bytes']} of {len(jobs)} jobs with the same bytes"
    return Row(name, promise, kills * len(jobs), result, not broken)


def disk_row(name: str, promise: str, finished: Finished, jobs: Sequence[Job], place: Path, seed: int, say: Say) -> Row:
    """Run each job on a disk that is too small by a random part of what it writes, then with room."""
    if os.geteuid():
        return Row(name, promise, 0, "not tried: a small disk is a tmpfs, which root alone can mount", kept=True)
    draw, tally = random.Random(f"{name} {seed}"), Counter[str]()
    place.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        finished.remove_outputs(job)
        needed = _size(finished.original) - _size(finished.copy)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", place], check=True)
        try:
            shutil.copytree(finished.copy, place / "run", symlinks=True)
            room = int(draw.uniform(0.0, 0.9) * needed)
            used = int(
                subprocess.run(
                    ["df", "--output=used", "-B1", place], capture_output=True, text=True, check=True
                ).stdout.split()[-1]
            )
            subprocess.run(["mount", "-o", f"remount,size={used + room // 4096 * 4096 + 4096}", place], check=True)
            full = run(job, place / "run")
            subprocess.run(["mount", "-o", "remount,size=2g", place], check=True)
            again = run(job, place / "run")
            differing = changes(finished.tree, tree_of(place / "run"))
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)
        named = full.is_named and full.code == "environment-disk-full" and "results/" in full.text
        outcome = "named" if named else "had room" if full.status == 0 else "raw"
        tally[outcome] += 1
        tally["same bytes" if again.status == 0 and not differing else "other bytes"] += 1
        say(f"{name} {job.name}, {room} of {needed} bytes: {outcome} ({full.status} {full.code}); {differing[:5]}")
        if outcome == "raw":
            say(full.text[-1500:])
        finished.restore()
    result = f"{tally['named']} named, {tally['had room']} had room, {tally['raw']} raw; {tally['same bytes']} of {len(jobs)} ended with the same bytes"
    return Row(name, promise, len(jobs), result, not tally["raw"] + tally["other bytes"])


def memory_row(name: str, promise: str, finished: Finished, jobs: Sequence[Job], seed: int, say: Say) -> Row:
    """Run each job with a limit of its address space, then without."""
    draw, tally = random.Random(f"{name} {seed}"), Counter[str]()
    for job in jobs:
        finished.remove_outputs(job)
        room_mib = draw.choice([8, 24, 64, 128])
        limited = run(job, finished.copy, lambda room_mib=room_mib: _limit_memory(room_mib))
        named = limited.is_named and limited.code.endswith("memory")
        outcome = "named" if named else "had room" if limited.status == 0 else "raw"
        tally[outcome] += 1
        again = run(job, finished.copy)
        differing = changes(finished.tree, tree_of(finished.copy))
        tally["same bytes" if again.status == 0 and not differing else "other bytes"] += 1
        say(f"{name} {job.name}, {room_mib} MiB: {outcome} ({limited.status} {limited.code}); {differing[:5]}")
        if outcome == "raw":
            say(limited.text[-1500:])
        finished.restore()
    result = f"{tally['named']} named, {tally['had room']} had room, {tally['raw']} raw; {tally['same bytes']} of {len(jobs)} ended with the same bytes"
    return Row(name, promise, len(jobs), result, not tally["raw"] + tally["other bytes"])


def twice_row(name: str, promise: str, finished: Finished, jobs: Sequence[Job], say: Say) -> Row:
    """Start each job twice at once."""
    same = 0
    for job in jobs:
        finished.remove_outputs(job)
        both = [start(job, finished.copy), start(job, finished.copy)]
        ended = [wait(*one) for one in both]
        differing = changes(finished.tree, tree_of(finished.copy))
        right = all(one.status == 0 for one in ended) and not differing
        same += right
        say(f"{name} {job.name}: {[one.status for one in ended]} {differing[:5]}")
        if not right:
            say(next((one.text for one in ended if one.status), "")[-1500:])
        finished.restore()
    return Row(name, promise, len(jobs), f"{same} of {len(jobs)} ended twice, with the same bytes", same == len(jobs))


def _limit_memory(room_mib: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room_mib * 2**20,) * 2)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
