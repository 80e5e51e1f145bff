"""Flipped bits and cuts in every file that a finished run has read.

In each trial one file is damaged and one stage that reads it runs again, forced. It must say so in one line with a
code, or make the file again, or end with the bytes of the undisturbed run because the damage means nothing (a space
between two values of a JSON file). Where it says so, the command of its remedy is followed: the file that it names is
removed, the job that makes it runs again, and the bytes must be those from before.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from .run import Ended, Finished, Job, Outcome, Trials, files_read, run

Damage = Callable[[bytes, random.Random], bytes]
_REMEDY = re.compile(r"`rm ([^`]+)`")

KEPT = ("named, and healed by the remedy", "made again", "without effect", "a case refused by name")
BROKEN = ("silent", "raw", "not healed")


def flip_bits(trials: Trials) -> Outcome:
    """Flip a bit of a file."""
    return _damage(trials, _flip, trials.number(500))


def cut_files(trials: Trials) -> Outcome:
    """Cut a file somewhere."""
    return _damage(trials, _cut, trials.number(100))


def _flip(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _damage(trials: Trials, damage: Damage, count: int) -> Outcome:
    tally = Counter[str]()
    readers = readers_of(trials)
    kinds = _by_kind(sorted(readers))
    for number in range(count):
        # Every kind of file is as likely, or latents and masks would be nearly all.
        file = trials.draw.choice(kinds[trials.draw.choice(sorted(kinds))])
        job = trials.draw.choice(readers[file])
        outcome, ended = _try(trials, file, job, damage)
        tally[outcome] += 1
        trials.say(f"{number + 1}/{count}: {file}, read by {job.name}: {outcome} {ended.code}")
        if outcome in BROKEN:
            trials.say(ended.text[-1500:])
        trials.finished.restore()
    shown = [name for name in (*KEPT, *BROKEN) if tally[name] or name in BROKEN]
    result = ", ".join(f"{tally[name]} {name}" for name in shown)
    return Outcome(count, f"{result}; {len(kinds)} kinds of files", not any(tally[name] for name in BROKEN))


def readers_of(trials: Trials) -> dict[str, list[Job]]:
    """Return the jobs that read each file below ``results``."""
    found: dict[str, list[Job]] = defaultdict(list)
    finished = trials.finished
    for job in finished.jobs:
        trials.say(f"watching {job.name}")
        for name in files_read(job, finished.copy):
            if name in finished.tree:
                found[name].append(job)
        finished.restore()
    return found


def _try(trials: Trials, file: str, job: Job, damage: Damage) -> tuple[str, Ended]:
    finished = trials.finished
    path = finished.copy / file
    content = path.read_bytes()
    if not content:
        return "without effect", Ended(0, "")
    path.write_bytes(damage(content, trials.draw))
    ended = run(job, finished.copy)
    differing = finished.changes(finished.copy)
    if ended.status == 0 and not ended.has_traceback:
        if not differing:
            return "made again", ended
        if differing == [file]:
            return "without effect", ended
        return ("a case refused by name" if "goes to quarantine" in ended.text else "silent"), ended
    if not ended.is_named:
        return "raw", ended
    return _follow_remedy(finished, job, ended), ended


def _follow_remedy(finished: Finished, job: Job, ended: Ended) -> str:
    """Do as the message says, also where the next run finds more, and compare the bytes."""
    for _ in range(3):
        named = _REMEDY.search(ended.text)
        if named is None:
            return "not healed"
        place = Path(named[1])
        relative = place.relative_to(finished.copy).as_posix() if place.is_absolute() else named[1]
        (finished.copy / relative).unlink(missing_ok=True)
        maker = finished.maker_of(relative)
        if maker is not None and maker != job:
            run(maker, finished.copy)
        ended = run(job, finished.copy)
        if ended.status == 0:
            return "not healed" if finished.changes(finished.copy) else "named, and healed by the remedy"
    return "not healed"


def _by_kind(files: Sequence[str]) -> dict[str, list[str]]:
    """Group files that differ in their shard, case or hash alone."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in files:
        kinds[re.sub(r"\d{4}|phantom_\d+|[0-9a-f]{2}/[0-9a-f]{8,}|(?<=_)\d+", "*", file)].append(file)
    return kinds
