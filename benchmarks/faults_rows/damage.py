"""Flipped bits and cuts in every file that a finished run has read.

In each trial one file is damaged and one stage that reads it runs again, forced. It must say so in one line with a
code, or make the file again, or end with the bytes of the undisturbed run because the damage means nothing (a space
between two values of a JSON file). Where it says so, the command of its remedy is followed: the file that it names is
removed, the job that makes it runs again, and the bytes must be those from before.
"""

import os
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import cycle
from pathlib import Path

from .row import Bench, Trial, Tried
from .run import Ended, Finished, Job, files_read, run

Damage = Callable[[bytes, random.Random], bytes]
_REMEDY = re.compile(r"`rm ([^`]+)`")

FLIPS, CUTS = 500, 100
BROKEN = ("SILENT", "RAW", "NOT HEALED")


def flip_bits(bench: Bench) -> list[Trial]:
    """Flip a bit of a file."""
    return _list_trials(bench, _flip, FLIPS)


def cut_files(bench: Bench) -> list[Trial]:
    """Cut a file somewhere."""
    return _list_trials(bench, _cut, CUTS)


def flip_in_time(bench: Bench) -> list[Trial]:
    """Flip a bit of a file of each kind, and give the file its time back."""
    return _list_trials(bench, _flip, len(_kinds(bench)), keeps_time=True)


def _flip(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _list_trials(bench: Bench, damage: Damage, count: int, *, keeps_time: bool = False) -> list[Trial]:
    """Take the kinds of files in turn, or latents and masks would be nearly all."""
    kinds = _kinds(bench)
    turns = [(name, number // len(kinds)) for number, name in zip(range(count), cycle(sorted(kinds)), strict=False)]
    return [
        Trial(name, f"damage {turn}", partial(_damage, bench, kinds[name], damage, keeps_time)) for name, turn in turns
    ]


def _damage(bench: Bench, files: Sequence[str], damage: Damage, keeps_time: bool, draw: random.Random) -> Tried:
    file = draw.choice(files)
    job = draw.choice(readers_of(bench)[file])
    path = bench.finished_run.copy / file
    status, content = path.stat(), path.read_bytes()
    if not content:
        return Tried("without effect", kept=True, note=f"{file} is empty")
    try:
        path.write_bytes(damage(content, draw))
        if keeps_time:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        outcome, ended = _run_on(bench.finished_run, file, job)
    finally:
        bench.finished_run.restore()
    if outcome in BROKEN:
        bench.say(ended.text[-1500:])
    return Tried(outcome, outcome not in BROKEN, f"{file} read by {job.name} {ended.code}")


def _run_on(finished: Finished, file: str, job: Job) -> tuple[str, Ended]:
    """Run a job that reads a damaged file, and say how that ended."""
    ended = run(job, finished.copy)
    differing = finished.changes(finished.copy)
    if ended.status == 0 and not ended.has_traceback:
        if not differing:
            return "made again", ended
        if differing == [file]:
            return "without effect", ended
        return ("a case refused by name" if "goes to quarantine" in ended.text else "SILENT"), ended
    if not ended.is_named:
        return "RAW", ended
    return _follow_remedy(finished, job, ended), ended


@cache
def _kinds(bench: Bench) -> dict[str, list[str]]:
    """Group the files that differ in their shard, case or hash alone."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in sorted(readers_of(bench)):
        kinds[re.sub(r"\d{4}|phantom_\d+|[0-9a-f]{2}/[0-9a-f]{8,}|(?<=_)\d+", "*", file)].append(file)
    return kinds


@cache
def readers_of(bench: Bench) -> dict[str, list[Job]]:
    """Return the jobs that read each file below ``results``."""
    found: dict[str, list[Job]] = defaultdict(list)
    finished = bench.finished_run
    for job in bench.jobs:
        bench.say(f"watching {job.name}")
        for name in files_read(job, finished.copy):
            if name in finished.tree:
                found[name].append(job)
        finished.restore()
    return found


def _follow_remedy(finished: Finished, job: Job, ended: Ended) -> str:
    """Do as the message says, also where the next run finds more, and compare the bytes."""
    for _ in range(3):
        named = _REMEDY.search(ended.text)
        if named is None:
            return "NOT HEALED"
        place = Path(named[1])
        relative = place.relative_to(finished.copy).as_posix() if place.is_absolute() else named[1]
        (finished.copy / relative).unlink(missing_ok=True)
        maker = finished.maker_of(relative)
        if maker is not None and maker != job:
            run(maker, finished.copy)
        ended = run(job, finished.copy)
        if ended.status == 0:
            return "NOT HEALED" if finished.changes(finished.copy) else "named, and healed by the remedy"
    return "NOT HEALED"
